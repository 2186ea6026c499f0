// Chooses the language and keeps every marked element in it.
// An element carries the key of its words (data-i18n and friends) and, when something is
// filled in, data-words as JSON; so a change of language needs no page to redraw itself.

import { words } from "./words.js";

const root = document.documentElement;
const slots = [
  ["i18n", (el, text) => (el.textContent = text)],
  ["i18nLabel", (el, text) => el.setAttribute("aria-label", text)],
  ["i18nTitle", (el, text) => el.setAttribute("title", text)],
  ["i18nPlaceholder", (el, text) => el.setAttribute("placeholder", text)],
];

/** The language in use: "en" or "zh". */
export const language = () => (root.lang === "zh" ? "zh" : "en");

/** The sentence for `key`, with `{name}` replaced from `fill`. */
export function t(key, fill = {}) {
  const pair = words[key];
  if (!pair) return key;
  const text = pair[language() === "zh" ? 1 : 0];
  return text.replace(/\{(\w+)\}/g, (mark, name) => fill[name] ?? mark);
}

/** Marks `el` so that it shows `key` now and after every change of language. */
export function say(el, key, fill, slot = "i18n") {
  el.dataset[slot] = key;
  if (fill) el.dataset.words = JSON.stringify(fill);
  translate(el);
  return el;
}

/** Gives an icon-only control its name for screen readers and as a tooltip. */
export function label(el, key, fill) {
  say(el, key, fill, "i18nLabel");
  return say(el, key, fill, "i18nTitle");
}

function translate(el) {
  const fill = el.dataset.words ? JSON.parse(el.dataset.words) : undefined;
  for (const [slot, put] of slots) {
    if (el.dataset[slot]) put(el, t(el.dataset[slot], fill));
  }
}

/** Puts everything marked below `top` into the language in use. */
export function translateAll(top = document) {
  const marked = "[data-i18n],[data-i18n-label],[data-i18n-title],[data-i18n-placeholder]";
  top.querySelectorAll(marked).forEach(translate);
  top.querySelectorAll("time[datetime]").forEach(showTime);
}

/** Switches to the other language and remembers it. */
export function switchLanguage() {
  root.lang = language() === "zh" ? "en" : "zh";
  try {
    localStorage.setItem("sealpost.language", root.lang);
  } catch {
    // Without storage the choice lasts as long as the page.
  }
  translateAll();
  dispatchEvent(new Event("sealpost:language"));
}

/** Writes the time of a `<time>`: a day where data-style is "day", a clock otherwise. */
export function showTime(el) {
  const date = new Date(el.dateTime);
  if (Number.isNaN(date.getTime())) return;
  if (el.dataset.style === "day") {
    el.textContent = dayName(date);
  } else {
    el.textContent = format("clock", date);
    el.title = format("exact", date);
  }
}

const styles = {
  clock: { hour: "2-digit", minute: "2-digit" },
  exact: { dateStyle: "medium", timeStyle: "medium" },
  day: { weekday: "long", day: "numeric", month: "long" },
  dayOfYear: { weekday: "long", day: "numeric", month: "long", year: "numeric" },
};
const formats = new Map(); // Making a formatter costs far more than using it.

function format(style, date) {
  const english = navigator.language.startsWith("en") ? navigator.language : "en-GB";
  const locale = language() === "zh" ? "zh-CN" : english;
  const name = `${locale} ${style}`;
  if (!formats.has(name)) formats.set(name, new Intl.DateTimeFormat(locale, styles[style]));
  return formats.get(name).format(date);
}

function dayName(date) {
  const midnight = (d) => new Date(d.getFullYear(), d.getMonth(), d.getDate());
  const days = Math.round((midnight(new Date()) - midnight(date)) / 86_400_000);
  if (days === 0) return t("today");
  if (days === 1) return t("yesterday");
  return format(date.getFullYear() === new Date().getFullYear() ? "day" : "dayOfYear", date);
}

/** A size in bytes for people: "812 B", "4.2 MiB". */
export function sizeText(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  const [unit, divisor] = bytes < 1024 * 1024 ? ["KiB", 1024] : ["MiB", 1024 * 1024];
  const value = bytes / divisor;
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${unit}`;
}
