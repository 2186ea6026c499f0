// One message as elements: its text, or the picture, video, sound or file it carries.
// Nothing a peer writes is ever parsed as markup.

import { el, icon, openDialog } from "./dom.js";
import { label, say, showTime, sizeText } from "./i18n.js";
import { fileName, unpack } from "./files.js";

const LONG_TEXT = 6000; // Characters shown at once; a huge text would freeze the page.

const marks = { "[无法解密消息]": "cannotOpen", "[解密失败]": "notAuthentic" };

/** A list item for `message` ({ fromId, chat, at, held }); `mine` puts it on the writer's side. */
export function bubble(message, mine) {
  const file = unpack(message.chat);
  const body = el("div", { class: file ? "bubble with-file" : "bubble" });
  if (file) body.append(...fileParts(file));
  else body.append(...textParts(message.chat, body));
  const time = el("time", { datetime: message.at.toISOString() });
  showTime(time);
  const state = message.held ? say(el("span", { class: "state" }), "held") : null;
  const item = el("li", { class: mine ? "message mine" : "message" }, body, el("div", { class: "meta" }, time, state));
  item.classList.toggle("pending", Boolean(message.held));
  item.content = identity(message.chat);
  item.from = message.fromId;
  item.at = message.at;
  return item;
}

/** Shows what has become of a message of one's own; takes away that it failed, and the button. */
export function setState(item, key) {
  const state = say(el("span", { class: "state" }), key);
  item.classList.toggle("pending", key !== "sent");
  item.classList.remove("failed");
  item.querySelector(".state, .failure")?.remove();
  item.querySelector("progress")?.remove();
  item.querySelector(".meta").append(state);
}

/** Stands for a message text when two are compared; a picture's megabytes need not be kept. */
export function identity(text) {
  return text.length < 1000 ? text : `${text.length}:${text.slice(0, 400)}${text.slice(-400)}`;
}

function textParts(text, body) {
  if (Object.hasOwn(marks, text)) {
    body.classList.add("unopened");
    return [icon("key"), say(el("span"), marks[text])];
  }
  if (text.length <= LONG_TEXT) return linked(text);
  const more = say(el("button", { type: "button", class: "button plain" }), "showAll");
  more.addEventListener("click", () => body.replaceChildren(text));
  return [`${text.slice(0, LONG_TEXT)}… `, more];
}

/** Text with its web addresses as links; nothing is fetched until somebody follows one. */
function linked(text) {
  return text.split(/(https?:\/\/[^\s<>"'，。；！？、（）《》]+)/).map((part, at) => {
    if (at % 2 === 0) return part;
    return el("a", { href: part, target: "_blank", rel: "noopener noreferrer" }, part);
  });
}

function fileParts({ name, size, blob, show }) {
  const url = URL.createObjectURL(blob);
  const save = el("a", { class: "save", href: url, download: name }, icon("save"), say(el("span"), "save"));
  save.setAttribute("type", blob.type);
  label(save, "saveAs", { name });
  const line = el(
    "div",
    { class: "file-line" },
    icon("file"),
    el("span", { class: "file-name" }, el("bdi", {}, name), el("small", {}, sizeText(size))),
    save,
  );
  const shown = { image: picture, video: player, audio: player }[show];
  return shown ? [shown(show, url, name, line), line] : [line];
}

function picture(_, url, name, line) {
  const image = el("img", { src: url, alt: name, decoding: "async" });
  const button = el("button", { type: "button", class: "picture" }, image);
  label(button, "enlarge", { name });
  button.addEventListener("click", () => {
    openDialog("lightbox", el("img", { src: url, alt: name }));
  });
  image.addEventListener("error", () => button.remove());
  line.classList.add("below");
  return button;
}

function player(tag, url, name, line) {
  const media = el(tag, { src: url, controls: true, preload: "metadata", "aria-label": name });
  media.addEventListener("error", () => media.remove()); // A format this browser cannot play.
  line.classList.add("below");
  return media;
}

/** What a screen reader is told about a message: its text, or the file it brings. */
export function spoken(chat, name) {
  const file = fileName(chat);
  return file ? ["sentFile", { name, file }] : ["saidText", { name, text: chat.slice(0, 300) }];
}
