// What every page has around its content: language, colours, sound, the account, and the
// strip that tells when a connection is away or the server's key has changed.

import { actAs, actingUser, logout, whoIsHere } from "./api.js";
import { avatar, byId, el, icon, iconButton, openDialog, placeIcons } from "./dom.js";
import { label, say, switchLanguage, t, translateAll } from "./i18n.js";
import { otherKeyWarning, serverKeyWarning, showFingerprints } from "./keys.js";
import { soundIsOn, switchSound } from "./sound.js";
import { listen } from "./stream.js";

const root = document.documentElement;
const prefersDark = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : prefersDark.matches);

/** Fills the tools and shows the page; `me` is null on the page to log in. */
export function openShell(me) {
  const tools = byId("tools");
  if (me) tools.append(soundTool());
  tools.append(themeTool(), languageTool());
  if (me) tools.append(accountTool(me));
  placeIcons();
  translateAll();
  delete root.dataset.booting;
  watchConnections(me);
  refreshServer(me); // What happened before anybody listened is asked for.
}

/** The acting user if this agent still has them logged in; otherwise goes to the log-in page. */
export async function requireUser() {
  const user = stay((await patientlyWhoIsHere()).users);
  return user ?? new Promise(() => {});
}

// Acts as the user whom this tab is for, if they are among `users`; otherwise leaves the page.
function stay(users) {
  const kept = actingUser();
  let user = users.find(({ id }) => id === kept?.id);
  // A tab opened by hand knows nobody yet: with one user on this agent there is no doubt.
  if (!kept && users.length === 1) user = users[0];
  if (user) actAs(user);
  else location.replace(kept ? "/?again" : "/");
  return user;
}

// An agent that is just being restarted is waited for, in sight of the user.
async function patientlyWhoIsHere() {
  for (;;) {
    try {
      return await whoIsHere();
    } catch {
      delete root.dataset.booting;
      say(byId("strip"), "agentGone").hidden = false;
      await new Promise((resolve) => setTimeout(resolve, 1500));
    }
  }
}

function themeTool() {
  const button = iconButton("moon", "toDark", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    localStorage.setItem("sealpost.theme", root.dataset.theme);
    show();
  });
  const show = () => {
    button.replaceChildren(icon(isDark() ? "sun" : "moon"));
    label(button, isDark() ? "toLight" : "toDark");
  };
  prefersDark.addEventListener("change", show);
  show();
  return button;
}

function languageTool() {
  const button = say(el("button", { type: "button", class: "tool word" }), "otherLanguage");
  button.addEventListener("click", switchLanguage);
  return button;
}

function soundTool() {
  const button = iconButton("bellOff", "soundOff", () => {
    switchSound();
    show();
  });
  const show = () => {
    button.replaceChildren(icon(soundIsOn() ? "bell" : "bellOff"));
    button.setAttribute("aria-pressed", soundIsOn());
    label(button, soundIsOn() ? "soundOn" : "soundOff");
  };
  show();
  return button;
}

function accountTool(me) {
  const button = el("button", { type: "button", class: "tool face" }, avatar(me));
  label(button, "account");
  button.addEventListener("click", () => openAccount(me));
  return button;
}

function openAccount(me) {
  const keys = say(el("button", { type: "button", class: "button plain" }), "fingerprints");
  const other = el("a", { class: "button plain", href: "/?other", target: "_blank", rel: "noopener" });
  const leave = say(el("button", { type: "button", class: "button plain" }), "logOut");
  const name = el("h2", { class: "person" }, avatar(me), el("bdi", {}, me.username));
  const dialog = openDialog("sheet", name, el("div", { class: "stack" }, keys, say(other, "anotherAccount"), leave));
  keys.addEventListener("click", () => {
    dialog.close();
    showFingerprints(me);
  });
  leave.addEventListener("click", async () => {
    actAs(null); // First: the agent tells every tab, and this one knows where it goes.
    await logout(me.id).catch(() => {}); // Leaving must work even when the agent is gone.
    location.assign("/");
  });
}

// One strip for both links: page to agent (the stream) and agent to server (the link).
function watchConnections(me) {
  const strip = byId("strip");
  let agentUp = true;
  let linked = true;
  listen((event) => {
    if (event.type === "stream") {
      // What happened before the stream was open is asked for; the agent may have been restarted.
      if (event.up) refreshServer(me);
      agentUp = event.up;
    } else if (event.type === "link" && event.user === me?.id) {
      if (event.state === "ended") refreshServer(me);
      linked = event.state === "connected";
    } else if (event.type === "server_key_changed") {
      refreshServer(me);
    } else if (event.type === "own_key_changed" && event.user === me?.id) {
      refreshServer(me);
    } else {
      return;
    }
    strip.hidden = agentUp && linked;
    if (!strip.hidden) say(strip, agentUp ? "reconnecting" : "agentGone");
  });
}

let looks = 0;

// Shows or takes away the warnings about the server's key and one's own, and leaves a page whose
// user is gone. Of answers that overtake each other the last one asked for counts.
async function refreshServer(me) {
  const look = ++looks;
  const { users, server } = await patientlyWhoIsHere();
  if (look !== looks) return;
  // A tab that is just logging out has no user any more and goes its own way.
  if (me && actingUser()) stay(users);
  const warnings = [];
  if (server.changed) warnings.push(serverKeyWarning(server, () => refreshServer(me)));
  const seen = users.find(({ id }) => id === me?.id)?.other_key;
  if (seen) warnings.push(otherKeyWarning(me, seen, () => refreshServer(me)));
  byId("server-warning").replaceChildren(...warnings);
}

/** The title of the page, with the number of unread messages in front. */
export function setTitle(text, unread = 0) {
  document.title = `${unread ? `(${unread}) ` : ""}${text ? `${text} · ` : ""}${t("appName")}`;
}
