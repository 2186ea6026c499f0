// Building elements, icons and dialogs. Text goes in as text nodes only, never as markup.

import { label } from "./i18n.js";

/** Makes an element: `el("p", { class: "note", hidden: true }, "text", child)`. */
export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(name, "");
    else if (value !== false && value != null) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child != null));
  return made;
}

export const byId = (id) => document.getElementById(id);

// 24 × 24 outlines, drawn for these pages.
const outlines = {
  envelope: "M3 6.5h18v12H3z M3.5 7l8.5 6.5L20.5 7",
  send: "M4 12l16-7.5L15.5 20l-3.7-6.2z M11.8 13.8L20 4.5",
  clip: "M19 11.5l-7.3 7.3a4.6 4.6 0 0 1-6.5-6.5l8-8a3.1 3.1 0 0 1 4.4 4.4l-7.9 7.9a1.6 1.6 0 0 1-2.3-2.3l6.9-6.9",
  back: "M14.5 5.5L8 12l6.5 6.5",
  down: "M12 5v14 M6 13l6 6 6-6",
  close: "M6 6l12 12 M18 6L6 18",
  key: "M14.5 9.5a5 5 0 1 0-3.6 4.8L13 16.5h2.5V19H18v2.5h3.5V18l-7.3-7.2 M8.2 8.2h.1",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8z M12 2.5v2 M12 19.5v2 M2.5 12h2 M19.5 12h2 M5.3 5.3l1.4 1.4 M17.3 17.3l1.4 1.4 M5.3 18.7l1.4-1.4 M17.3 6.7l1.4-1.4",
  moon: "M19.5 14.5A8 8 0 0 1 9.5 4.5a8 8 0 1 0 10 10z",
  bell: "M6 16.5V11a6 6 0 0 1 12 0v5.5l1.5 1.5h-15z M10 20.5a2.2 2.2 0 0 0 4 0",
  bellOff: "M6 16.5V11c0-1 .2-1.9.7-2.7 M9.5 5.5A6 6 0 0 1 18 11v4 M16.5 18h-12L6 16.5 M10 20.5a2.2 2.2 0 0 0 4 0 M4 4l16 16",
  file: "M6 3h8l4.5 4.5V21H6z M13.5 3.5V8H18",
  save: "M12 4v11 M7 10.5l5 5 5-5 M5 20h14",
  alert: "M12 3.5L22 20.5H2z M12 10v5 M12 17.6v.1",
  search: "M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13z M15.3 15.3L20.5 20.5",
  check: "M5 12.5l4.5 4.5L19 7.5",
};

/** The icon `name`, hidden from screen readers: the control around it carries the name. */
export function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(space, "path");
  path.setAttribute("d", outlines[name]);
  svg.append(path);
  return svg;
}

/** Puts icons into the elements that ask for one with data-icon. */
export function placeIcons(top = document) {
  for (const place of top.querySelectorAll("[data-icon]")) place.prepend(icon(place.dataset.icon));
}

/** A button that shows only an icon; `key` names it. */
export function iconButton(name, key, onClick, fill) {
  const button = el("button", { type: "button", class: "tool" }, icon(name));
  label(button, key, fill);
  button.addEventListener("click", onClick);
  return button;
}

/** The round first letter of somebody's name, in a colour that stays theirs. */
export function avatar({ id, username }) {
  const first = [...new Intl.Segmenter().segment(username || "?")][0].segment;
  return el("span", { class: `avatar hue-${Number(id) % 8}`, "aria-hidden": "true" }, first.toUpperCase());
}

/** Opens a modal dialog with a close button; it leaves the document when closed. */
export function openDialog(kind, ...children) {
  const dialog = el("dialog", { class: kind });
  dialog.append(iconButton("close", "close", () => dialog.close()), ...children);
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}
