// The first page: log in or register, then on to the people.

import { actAs, actingUser, explain, keysAreLocked, login, register, whoIsHere } from "./api.js";
import { avatar, byId, el } from "./dom.js";
import { say } from "./i18n.js";
import { openShell, setTitle } from "./shell.js";
import { start } from "./stream.js";

const query = new URLSearchParams(location.search);
const form = byId("form");
const problem = byId("problem");
let registering = false;

openShell(null);
setTitle("");
start();
byId("tab-login").addEventListener("click", () => choose(false));
byId("tab-register").addEventListener("click", () => choose(true));
byId("tabs").addEventListener("keydown", (event) => {
  if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
  choose(!registering);
  byId(registering ? "tab-register" : "tab-login").focus();
});
byId("show").addEventListener("change", ({ target }) => {
  for (const field of [form.password, form.repassword, form.oldpassword]) field.type = target.checked ? "text" : "password";
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  enter();
});
choose(false);
await lookAround();

/** Moves on at once when this tab's user is still logged in; else offers whoever is. */
async function lookAround() {
  try {
    const { users, server } = await whoIsHere();
    if (server.url) say(byId("server"), "viaServer", { url: server.url });
    const kept = actingUser();
    if (users.some(({ id }) => id === kept?.id) && !query.has("other")) return location.replace("/users");
    if (query.has("again") && kept) {
      form.username.value = kept.username;
      complain("loginAgain");
      form.password.focus();
    }
    offer(users);
  } catch (error) {
    problem.textContent = explain(error);
  }
}

function offer(users) {
  byId("here").hidden = users.length === 0;
  byId("here-list").replaceChildren(...users.map((user) => {
    const button = el("button", { type: "button", class: "person" }, avatar(user), el("bdi", {}, user.username));
    button.addEventListener("click", () => moveOn(user));
    return el("li", {}, button);
  }));
}

function choose(register) {
  registering = register;
  for (const [id, on] of [["tab-login", !register], ["tab-register", register]]) {
    byId(id).setAttribute("aria-selected", on);
    byId(id).tabIndex = on ? 0 : -1;
  }
  byId("panel").setAttribute("aria-labelledby", register ? "tab-register" : "tab-login");
  byId("repeat").hidden = !register;
  byId("seals").hidden = !register;
  form.repassword.required = register;
  askOldPassword(false);
  form.password.autocomplete = register ? "new-password" : "current-password";
  say(byId("enter-words"), register ? "register" : "logIn");
  complain(null);
  form.username.focus();
}

/** Keys are opened with it once when the password was changed elsewhere. */
function askOldPassword(on) {
  byId("old").hidden = !on;
  if (!on) form.oldpassword.value = "";
}

function complain(key) {
  delete problem.dataset.i18n;
  problem.textContent = "";
  if (key) say(problem, key);
}

async function enter() {
  const [username, password] = [form.username.value, form.password.value];
  if (!username || !password) return complain("fillBoth");
  if (registering && password !== form.repassword.value) {
    form.repassword.focus();
    return complain("passwordsDiffer");
  }
  complain(null);
  busy(true);
  try {
    if (registering) await register(username, password, form.repassword.value);
    say(byId("enter-words"), "workingLogin");
    moveOn(await login(username, password, form.oldpassword.value || undefined));
  } catch (error) {
    busy(false);
    problem.textContent = explain(error);
    const locked = keysAreLocked(error);
    if (locked) askOldPassword(true);
    form[locked ? "oldpassword" : "password"].focus();
  }
}

function busy(on) {
  byId("enter").disabled = on;
  form.classList.toggle("busy", on);
  const resting = registering ? "register" : "logIn";
  say(byId("enter-words"), on ? (registering ? "workingRegister" : "workingLogin") : resting);
}

function moveOn(user) {
  actAs(user);
  location.assign("/users");
}
