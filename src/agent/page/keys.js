// Fingerprints and changed keys: what is shown, and how the user accepts a new one.

import {
  acceptPeerKey,
  acceptServerKey,
  explain,
  ownFingerprint,
  publishOwnKey,
  whoIsHere,
} from "./api.js";
import { el, icon, openDialog } from "./dom.js";
import { say } from "./i18n.js";

/** A fingerprint in groups of four, for reading aloud; selecting it selects it whole. */
export function fingerprint(hex) {
  const groups = hex.replaceAll(":", "").match(/.{1,4}/g) ?? [];
  const code = el("code", { class: "fingerprint", translate: "no" });
  groups.forEach((group) => code.append(el("span", {}, group), " "));
  return code;
}

function entry(key, fill, hex) {
  const value = hex ? fingerprint(hex) : say(el("p", { class: "quiet" }), "unknownYet");
  return el("section", {}, say(el("h3"), key, fill), value);
}

/** Shows one's own fingerprint, the peer's if there is one, and the server's. */
export async function showFingerprints(me, peer) {
  const title = say(el("h2"), "fingerprints");
  const body = el("div", { class: "stack" });
  openDialog("sheet", title, body);
  try {
    const [own, { server }] = await Promise.all([ownFingerprint(me.id), whoIsHere()]);
    body.append(entry("yourFingerprint", null, own.fingerprint));
    if (peer) body.append(entry("theirFingerprint", { name: peer.username }, peer.fingerprint));
    body.append(say(el("p", { class: "quiet" }), "compareHint"));
    if (server.fingerprint) body.append(entry("serverFingerprint", null, server.fingerprint));
    if (server.url) body.append(say(el("p", { class: "quiet" }), "viaServer", { url: server.url }));
  } catch (error) {
    body.append(el("p", { class: "problem", role: "alert" }, explain(error)));
  }
}

// `words` are the keys of a title, of what it means, and of the button, which runs `act`.
function warning(words, fill, shown, act) {
  const [title, text, agree] = words;
  const button = say(el("button", { type: "button", class: "button danger" }), agree);
  const problem = el("p", { class: "problem", role: "alert" });
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      await act();
    } catch (error) {
      problem.textContent = explain(error);
      button.disabled = false;
    }
  });
  return el(
    "section",
    { class: "warning", role: "alert" },
    el("h2", {}, icon("alert"), say(el("span"), title, fill)),
    say(el("p"), text),
    shown,
    problem,
    button,
  );
}

function compared(changed) {
  return el(
    "div",
    { class: "compare" },
    el("div", {}, say(el("h3"), "before"), fingerprint(changed.old)),
    el("div", {}, say(el("h3"), "now"), fingerprint(changed.new)),
  );
}

/** The warning that `peer`'s key has changed, with both fingerprints; `done` follows acceptance. */
export function peerKeyWarning(me, peer, done) {
  const words = ["keyChangedTitle", "keyChangedText", "acceptKey"];
  const fill = { name: peer.username };
  const shown = warning(words, fill, compared(peer.changed), async () => {
    await acceptPeerKey(me.id, peer.id, peer.changed.new);
    await done();
  });
  if (peer.held) shown.querySelector("p").after(say(el("p"), "heldCount", { n: peer.held }));
  return shown;
}

/** The warning that others see another key of the user; `done` follows if this one replaces it. */
export function otherKeyWarning(me, seen, done) {
  const words = ["otherKeyTitle", "otherKeyText", "publishKey"];
  return warning(words, undefined, fingerprint(seen), async () => {
    await publishOwnKey(me.id, seen);
    await done();
  });
}

/** The warning that the server's key has changed; `done` follows acceptance. */
export function serverKeyWarning(server, done) {
  const words = ["serverChangedTitle", "serverChangedText", "acceptKey"];
  return warning(words, undefined, compared(server.changed), async () => {
    await acceptServerKey(server.changed.new);
    await done();
  });
}
