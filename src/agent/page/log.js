// The messages of one chat: the list in the page, its days, and what arrives at either end.
//
// The scroller is laid out from the bottom (column-reverse), so its scroll position counts from
// the newest message: older pages and late pictures above never move what is being read.
// Live messages have no record id until a later look at the records gives them theirs.

import { bubble, identity, setState } from "./bubble.js";
import { byId, el } from "./dom.js";
import { say, showTime } from "./i18n.js";

const NEAR_BOTTOM_PX = 80;
const RACE_MS = 5000; // A record fetched this recently may still arrive live as well.
const TOGETHER_MS = 5 * 60_000; // Messages closer than this are drawn as one group.

/** Opens the log of `me`; `loadOlder(before)` resolves to a page of records and its `next`. */
export function openLog(me, loadOlder) {
  const list = byId("log");
  const scroller = byId("scroller");
  const jump = byId("jump");
  const known = new Map(); // record id → list item
  let next = null; // where the next older page begins, null at the beginning
  let unseen = 0;
  let loading = false;

  // Kept from the last scroll event: asking the scroller costs a layout for every message.
  let nearBottom = true;
  const toBottom = () => scroller.scrollTo({ top: 0 });

  function make(record) {
    const at = new Date(record.createTime ?? Date.now());
    const valid = Number.isNaN(at.getTime()) ? new Date() : at;
    const item = bubble({ ...record, at: valid }, record.fromId === me.id);
    if (record.id != null) adoptAs(item, record.id);
    return item;
  }

  function adoptAs(item, id) {
    item.recordId = id;
    item.mergedAt = performance.now();
    if (item.querySelector(".state, .failure")) setState(item, "sent");
    known.set(id, item);
  }

  /** Puts an item before `anchor`, or at the end; `follow` scrolls there even from far above. */
  function place(item, follow = false, anchor = null) {
    const stay = !follow && !nearBottom;
    const height = stay ? scroller.scrollHeight : 0;
    list.insertBefore(item, anchor);
    regroup(item);
    if (anchor) regroup(anchor);
    byId("empty").hidden = true;
    if (stay) scroller.scrollTop -= scroller.scrollHeight - height;
    else if (follow) toBottom(); // Near the bottom the layout itself stays there.
    if (stay && item.from !== me.id) unseen += 1;
    showJump();
    return item;
  }

  /** Shows a live message, unless it is here already; says false when that was only a guess. */
  function arrive(record) {
    if (record.id != null && known.has(record.id)) return true;
    const now = performance.now();
    let twin = record.id == null ? list.lastElementChild : null;
    while (twin && !(sameText(twin, record) && !twin.live && now - twin.mergedAt < RACE_MS)) {
      // Beyond what was fetched just now there is nothing to find.
      twin = twin.recordId != null && now - twin.mergedAt > RACE_MS ? null : twin.previousElementSibling;
    }
    const item = twin ?? place(make(record));
    item.live = true;
    return !twin;
  }

  const sameText = (item, record) => item.content === identity(record.chat) && item.from === record.fromId;

  /** Shows the newest page: adopts what is already shown, adds what was missed. */
  function merge({ records, next: older }) {
    // What came live says nothing of what was missed before it.
    const joins = records.some(({ id }) => known.get(id)?.fetched);
    if (!joins) next = older;
    if (joins || older === null) addMissing(records);
    else startAnew(records);
    fetched(records);
    byId("empty").hidden = list.childElementCount > 0;
    showTop();
  }

  // Nothing was shown yet, or more was missed than one page holds: what is older than the page goes.
  function startAnew(records) {
    list.querySelectorAll(".day").forEach((day) => day.remove());
    const page = new Set(records.map((record) => known.get(record.id) ?? adopt(record) ?? make(record)));
    const shown = [...list.children];
    const last = shown.findLastIndex((item) => page.has(item));
    shown.forEach((item, at) => {
      const isOlder = item.recordId == null ? at < last : item.recordId < records[0].id;
      if (page.has(item) || !isOlder || item.matches(".pending, .failed")) return;
      item.remove();
      known.delete(item.recordId);
    });
    list.prepend(...page);
    regroupFirst(list.childElementCount);
    toBottom();
  }

  const fetched = (records) => records.forEach(({ id }) => (known.get(id).fetched = true));

  // From the newest backwards, so that each finds its place before the one that follows it.
  function addMissing(records) {
    let anchor = null;
    for (const record of records.toReversed()) {
      const item = known.get(record.id) ?? adopt(record) ?? place(make(record), false, anchor);
      anchor = item.previousElementSibling?.classList.contains("day") ? item.previousElementSibling : item;
    }
  }

  // A live message, or one's own just sent, meets its record: same writer, same text, no id yet.
  function adopt(record) {
    const item = [...list.children].findLast((shown) => shown.recordId == null && sameText(shown, record));
    if (item) adoptAs(item, record.id);
    return item ?? null;
  }

  async function older() {
    if (loading || next === null) return;
    loading = true;
    list.setAttribute("aria-busy", "true");
    say(byId("top-note"), "loadingOlder");
    try {
      const page = await loadOlder(next);
      const items = page.records.filter(({ id }) => !known.has(id)).map(make);
      fetched(page.records);
      list.prepend(...items);
      regroupFirst(items.length + 1);
      next = page.next;
      loading = false;
      showTop();
    } catch {
      say(byId("top-note"), "olderFailed");
      setTimeout(() => (loading = false), 3000);
    }
    list.removeAttribute("aria-busy");
    watchTop();
  }

  const observer = new IntersectionObserver(([entry]) => entry.isIntersecting && older(), {
    root: scroller,
    rootMargin: "1000px 0px 0px 0px",
  });
  // Observing afresh reports at once, also when the top is still in sight after a short page.
  function watchTop() {
    observer.unobserve(byId("top-note"));
    if (next !== null) observer.observe(byId("top-note"));
  }

  function showTop() {
    const note = byId("top-note");
    note.hidden = next === null && list.childElementCount === 0;
    say(note, next === null ? "beginning" : "loadingOlder");
    watchTop();
  }

  // Marks days and groups around `item`, looking at the message before it.
  function regroup(item) {
    if (item.classList.contains("day")) return regroup(item.nextElementSibling);
    let before = item.previousElementSibling;
    const day = before?.classList.contains("day") ? before : null;
    if (day) before = day.previousElementSibling;
    const newDay = !before || before.at.toDateString() !== item.at.toDateString();
    if (newDay && !day) item.before(dayLine(item.at));
    if (!newDay) day?.remove();
    const joined = !newDay && before.from === item.from && item.at - before.at < TOGETHER_MS;
    item.classList.toggle("joined", joined);
  }

  function regroupFirst(count) {
    const items = [...list.querySelectorAll(".message")].slice(0, count);
    items.forEach(regroup);
  }

  function showJump() {
    jump.hidden = nearBottom;
    const words = byId("jump-words");
    if (unseen) say(words, "newMessages", { n: unseen });
    else {
      words.replaceChildren();
      delete words.dataset.i18n;
    }
  }

  scroller.addEventListener("scroll", () => {
    nearBottom = scroller.scrollTop > -NEAR_BOTTOM_PX;
    if (nearBottom) unseen = 0;
    showJump();
  });
  jump.addEventListener("click", () => {
    toBottom();
    byId("text").focus();
  });

  return { make, place, arrive, merge };
}

function dayLine(at) {
  const time = el("time", { datetime: at.toISOString(), "data-style": "day" });
  showTime(time);
  return el("li", { class: "day" }, time);
}
