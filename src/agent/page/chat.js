// The page of one chat: whom it is with, its messages, writing, and the people beside it.

import { ApiError, actingUser, explain, records } from "./api.js";
import { spoken } from "./bubble.js";
import { openComposer } from "./composer.js";
import { avatar, byId, el } from "./dom.js";
import { say, t } from "./i18n.js";
import { peerKeyWarning, showFingerprints } from "./keys.js";
import { openLog } from "./log.js";
import { openPeople } from "./people.js";
import { openShell, requireUser, setTitle } from "./shell.js";
import { chime } from "./sound.js";
import { listen, opened, start } from "./stream.js";

const FIRST_PAGE = 6; // Shown at once, however heavy; the rest follows as its weight allows.
const FULL_PAGE = 50;
const PAGE_CHARS = 8_000_000; // About what a page may weigh where letters carry pictures.

const peer = { id: Number(location.pathname.split("/").pop()), username: "", online: false, changed: null, held: 0 };
const streamOpen = opened(400);
start();
const me = await requireUser();
if (peer.id === me.id || !Number.isSafeInteger(peer.id)) location.replace("/users");

let unreadElsewhere = 0;
let catchUpTimer = null;
let readTimer = null;
let drawn = "";
let pageSize = FULL_PAGE;
let linked = true;
let catchUpDue = false;
let started = false; // Until then the first look at the records is still to come.

peer.username = t("userNumber", { id: peer.id });
const log = openLog(me, (before) => load(pageSize, before));
const composer = openComposer(me, peer, log);
const people = openPeople(me, peer.id, onPeers);

openShell(me);
showPeer();
byId("keys").addEventListener("click", () => showFingerprints(me, peer));
listen(onEvent);
addEventListener("sealpost:language", showTitle);
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  markRead();
  if (catchUpDue) catchUp();
});
people.refresh();
await streamOpen;
started = true;
await catchUp(FIRST_PAGE);
byId("text").focus();

/** A page of the history; what it weighs decides how many records the next one asks for. */
async function load(limit, before) {
  const page = await records(me.id, peer.id, limit, before);
  const chars = page.records.reduce((sum, { chat }) => sum + chat.length, 0);
  const average = chars / Math.max(1, page.records.length);
  pageSize = Math.min(FULL_PAGE, Math.max(4, Math.floor(PAGE_CHARS / Math.max(1, average))));
  return page;
}

/** Fetches the newest records and shows what is missing; in a hidden page, once it is seen. */
async function catchUp(limit = pageSize) {
  catchUpTimer = null;
  catchUpDue = document.hidden; // Looking at the records marks them as read.
  if (catchUpDue) return;
  try {
    log.merge(await load(limit));
    byId("problem").hidden = true;
  } catch (error) {
    showProblem(error);
  }
}

function showProblem(error) {
  const problem = byId("problem");
  problem.textContent = explain(error);
  problem.hidden = false;
}

function catchUpSoon(wait) {
  catchUpTimer ??= setTimeout(() => catchUp(), wait);
}

function onEvent(event) {
  if (event.type === "stream") {
    if (event.up && started) catchUpSoon(0);
  } else if (event.type === "link") {
    if (event.user !== me.id) return;
    const back = event.state === "connected";
    composer.linked(back);
    if (back && !linked) catchUpSoon(500);
    linked = back;
  } else if (event.type === "refused") {
    // The server did not take what was shown as sent; it does not say which message that was.
    if (event.user === me.id) showProblem(new ApiError(400, event.notice));
  } else if (event.type === "sent") {
    const { user: fromId, text: content, held } = event;
    const here = fromId === me.id && event.peer === peer.id;
    if (here && !composer.claimEcho(content, held)) receive({ fromId, content, held });
  } else if (event.type === undefined && (event.toId ?? me.id) === me.id) {
    onMessage(event);
  }
}

function onMessage(event) {
  if (typeof event.content !== "string") return; // Pushed by some local program; not a message.
  if (event.fromId !== peer.id) return chime();
  receive(event);
  const [key, fill] = spoken(event.content, peer.username);
  byId("announce").textContent = t(key, fill);
  if (document.hidden) chime();
  else markRead();
}

function receive({ fromId, content, id, held }) {
  const certain = log.arrive({ id, fromId, chat: content, held });
  if (!certain) catchUpSoon(1500);
}

// Looking at the records is what tells the agent that they have been read.
function markRead() {
  readTimer ??= setTimeout(() => {
    readTimer = null;
    records(me.id, peer.id, 1).then(people.refreshSoon, () => {});
  }, 400);
}

function onPeers(peers) {
  const fresh = peers.find(({ id }) => id === peer.id);
  // What waited for the new key goes out now, or when the peer has not answered for a while.
  if (peer.changed && !fresh?.changed) [1000, 5000].forEach((wait) => setTimeout(() => catchUp(), wait));
  if (fresh) Object.assign(peer, fresh);
  unreadElsewhere = peers.reduce((sum, { unread }) => sum + unread, 0);
  showPeer();
}

function showPeer() {
  // Redrawn only when something changed, so that a warning keeps its focus.
  const state = JSON.stringify([peer.username, peer.online, peer.changed, peer.held]);
  showTitle();
  if (state === drawn) return;
  drawn = state;
  const presence = el("span", { class: peer.online ? "presence on" : "presence" }, avatar(peer));
  const status = say(el("span", { class: "quiet" }), peer.online ? "online" : "offline");
  byId("peer").replaceChildren(presence, el("span", { class: "name" }, el("bdi", {}, peer.username), status));
  say(byId("scroller"), "messagesWith", { name: peer.username }, "i18nLabel");
  say(byId("text"), "writeTo", { name: peer.username }, "i18nPlaceholder");
  say(byId("text"), "writeTo", { name: peer.username }, "i18nLabel");
  const warnings = peer.changed ? [peerKeyWarning(me, peer, people.refresh)] : [];
  byId("key-warning").replaceChildren(...warnings);
  composer.block(Boolean(peer.changed));
}

function showTitle() {
  if (actingUser()) setTitle(peer.username, unreadElsewhere);
}
