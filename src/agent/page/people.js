// The list of people: who is online, who has written. Used beside a chat and on its own.

import { listPeers } from "./api.js";
import { avatar, byId, el, icon } from "./dom.js";
import { label, say, t } from "./i18n.js";
import { listen } from "./stream.js";

const REFRESH_MS = 200; // Events come in bursts; one look at the list answers them all.

/** Keeps #people up to date; `onPeers` hears every fresh list. `current` is the open chat's id. */
export function openPeople(me, current, onPeers) {
  const list = byId("people");
  const filter = byId("filter");
  let peers = [];
  let timer = null;

  function draw() {
    const wanted = filter.value.trim().toLocaleLowerCase();
    const shown = peers.filter(({ username }) => username.toLocaleLowerCase().includes(wanted));
    const focused = list.contains(document.activeElement) ? document.activeElement.dataset.peer : null;
    list.replaceChildren(...shown.map((peer) => row(peer, current)));
    if (focused) list.querySelector(`[data-peer="${focused}"]`)?.focus();
    showEmpty(peers.length, shown.length);
    const online = peers.filter((peer) => peer.online).length;
    say(byId("online-count"), "onlineCount", { n: online });
  }

  async function refresh() {
    timer = null;
    try {
      peers = sorted((await listPeers(me.id)).peers.map(named), current);
    } catch {
      return; // The strip tells that the agent is away; its return refreshes.
    }
    draw();
    onPeers(peers);
  }

  function refreshSoon() {
    timer ??= setTimeout(refresh, REFRESH_MS);
  }

  filter.addEventListener("input", draw);
  filter.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "Enter") moveTo(list, 0, event);
  });
  list.addEventListener("keydown", (event) => {
    const links = [...list.querySelectorAll("a")];
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) moveTo(list, links.indexOf(document.activeElement) + step, event);
  });
  listen((event) => {
    if (event.type === "link" || (event.type === "stream" && !event.up)) return;
    if (event.type === undefined && event.toId !== undefined && event.toId !== me.id) return;
    refreshSoon();
  });
  return { refresh, refreshSoon };
}

function moveTo(list, index, event) {
  const link = list.querySelectorAll("a")[index];
  if (!link) return;
  event.preventDefault();
  link.focus();
}

// Somebody wrote of whom the server tells nothing.
function named(peer) {
  return peer.username ? peer : { ...peer, username: t("userNumber", { id: peer.id }) };
}

function sorted(peers, current) {
  // The open chat is being read, whatever the agent counted meanwhile.
  const seen = peers.map((peer) =>
    peer.id === current && document.visibilityState === "visible" ? { ...peer, unread: 0 } : peer,
  );
  const rank = (peer) => (peer.unread ? 0 : peer.online ? 1 : 2);
  return seen.sort((a, b) => rank(a) - rank(b) || a.username.localeCompare(b.username));
}

function row(peer, current) {
  const state = say(el("span", { class: "quiet" }), peer.online ? "online" : "offline");
  const link = el(
    "a",
    {
      class: "person",
      href: `/chat/${peer.id}`,
      "data-peer": peer.id,
      "aria-current": peer.id === current ? "page" : null,
    },
    el("span", { class: peer.online ? "presence on" : "presence" }, avatar(peer)),
    el("span", { class: "name" }, el("bdi", {}, peer.username), state),
  );
  if (peer.changed) {
    const mark = el("span", { class: "mark alert", role: "img" }, icon("alert"));
    link.append(label(mark, "keyChangedShort"));
  }
  if (peer.unread) {
    const mark = el("span", { class: "mark badge", role: "img" }, String(Math.min(peer.unread, 999)));
    link.append(label(mark, "unread", { n: peer.unread }));
  }
  return el("li", {}, link);
}

function showEmpty(all, shown) {
  const empty = byId("nobody");
  empty.hidden = shown > 0;
  if (shown > 0) return;
  say(empty.querySelector("strong"), all ? "noMatch" : "nobody");
  empty.querySelector("p").hidden = all > 0;
}
