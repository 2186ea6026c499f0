// Writing: the text field, the tray of picked files, and sending both in order.
// Each message shows at once, with its progress, and stays with a button to try again if refused.

import { DRAFT, explain, sendMessage } from "./api.js";
import { identity, setState } from "./bubble.js";
import { byId, el, icon, iconButton } from "./dom.js";
import { MAX_FILE_BYTES, pack } from "./files.js";
import { say, sizeText, t } from "./i18n.js";

const MAX_TEXT_BYTES = 8 * 1024 * 1024; // As much as a packed file of the largest size.
const LARGE = 200_000; // Characters from which a message is worth a progress bar.

/** Opens the composer for writing from `me` to `peer`; messages appear in `log`. */
export function openComposer(me, peer, log) {
  const text = byId("text");
  const tray = byId("tray");
  const picker = byId("picker");
  const draftName = `${DRAFT}${me.id}.${peer.id}`;
  const outgoing = []; // Items sent from this page whose echo has not come back yet.
  const picked = [];
  const refused = new Set(); // What to try again by itself once the link is back.
  let queue = Promise.resolve(); // One at a time, so that messages keep their order.
  let linkUp = gate();
  let running = 0;
  let blocked = false;

  function submit() {
    if (blocked) return;
    const words = text.value;
    if (new Blob([words]).size > MAX_TEXT_BYTES) return complain("textTooLong");
    complain(null);
    for (const file of picked.splice(0)) sendFile(file);
    drawTray();
    if (words.trim()) enqueue(words, () => words);
    text.value = "";
    remember();
    grow();
    text.focus();
  }

  function sendFile(file) {
    const { name, type, size } = file;
    const preview = JSON.stringify({ sealpost: "file", name, type, size, data: "" });
    enqueue(preview, (item) => pack(file, (share) => progress(item, "readingFile", share / 4)));
  }

  // Shows the message and sends it when its turn comes; `read` gives the full text to send.
  function enqueue(shown, read) {
    let item = log.place(log.make({ fromId: me.id, chat: shown }), true);
    const attempt = async () => {
      try {
        await linkUp.passed;
        const message = await read(item);
        if (message !== shown) item = swap(item, message);
        const done = await sendMessage(me.id, peer.id, message, (share) => onShare(item, message, share));
        setState(item, done?.held ? "held" : "sent");
      } catch (error) {
        onFailure(item, error, retry);
      }
      running -= 1;
    };
    const retry = () => {
      refused.delete(retry);
      if (item.recordId != null) return; // It has arrived meanwhile.
      if (!outgoing.includes(item)) outgoing.push(item);
      setState(item, "sending"); // At once: the button to try again goes with it.
      running += 1;
      queue = queue.then(attempt);
    };
    retry();
  }

  function onFailure(item, error, retry) {
    const at = outgoing.indexOf(item);
    // Only its answer was lost: its echo has come, or its record.
    if (error.status === 0 && (at < 0 || item.recordId != null)) return;
    fail(item, error instanceof DOMException ? t("unreadable") : explain(error), retry);
    // The agent answered, so nothing was sent; without an answer its echo may still come.
    if (error.status !== 0 && at >= 0) outgoing.splice(at, 1);
    if (error.status >= 500) refused.add(retry);
  }

  // Once a file has been read, its bubble shows the picture itself.
  function swap(item, message) {
    const whole = log.make({ fromId: me.id, chat: message });
    whole.classList.toggle("joined", item.classList.contains("joined"));
    outgoing[outgoing.indexOf(item)] = whole;
    item.replaceWith(whole);
    setState(whole, "sending");
    return whole;
  }

  function onShare(item, message, share) {
    if (message.length < LARGE) return;
    if (share < 1) progress(item, "handingOver", 0.25 + share / 4, { percent: Math.round(share * 100) });
    else progress(item, "sealing", null);
  }

  /** Whether the agent's echo `content` is of a message sent from this very page: it took that. */
  function claimEcho(content, held) {
    const same = outgoing.filter((item) => item.content === identity(content));
    // One whose answer was lost may never have reached the agent.
    const item = same.find((shown) => !shown.matches(".failed")) ?? same[0];
    if (!item) return false;
    outgoing.splice(outgoing.indexOf(item), 1);
    setState(item, held ? "held" : "sent");
    return true;
  }

  function addFiles(files) {
    complain(null);
    for (const file of files) {
      const fill = { name: file.name, size: sizeText(file.size), limit: sizeText(MAX_FILE_BYTES) };
      if (file.size > MAX_FILE_BYTES) complain("tooBig", fill);
      else picked.push(file);
    }
    drawTray();
    text.focus();
  }

  function drawTray() {
    tray.hidden = picked.length === 0;
    tray.replaceChildren(...picked.map((file) => {
      const remove = iconButton("close", "remove", () => {
        picked.splice(picked.indexOf(file), 1);
        drawTray();
        text.focus();
      }, { name: file.name });
      const name = el("span", { class: "file-name" }, el("bdi", {}, file.name), el("small", {}, sizeText(file.size)));
      return el("li", {}, icon("file"), name, remove);
    }));
  }

  function grow() {
    text.style.height = "auto";
    text.style.height = `${text.scrollHeight + 2}px`; // Two for the borders.
  }

  function remember() {
    sessionStorage.setItem(draftName, text.value);
  }

  /** Holds messages while the agent's link is away; lets them go, in order, when it is back. */
  function linked(up) {
    if (!up) {
      if (linkUp.isOpen) linkUp = gate(false);
      return;
    }
    linkUp.open();
    for (const retry of [...refused]) retry();
  }

  /** Holds sending back while the peer's changed key is not accepted. */
  function block(hold) {
    blocked = hold;
    byId("send").disabled = hold;
    byId("composer").classList.toggle("blocked", hold);
  }

  listenTo({ text, picker, submit, addFiles, grow, remember });
  const isUnsent = () => running > 0 || picked.length > 0 || byId("log").querySelector(".failed");
  addEventListener("beforeunload", (event) => isUnsent() && event.preventDefault());
  text.value = sessionStorage.getItem(draftName) ?? "";
  grow();
  return { claimEcho, block, linked };
}

/** A gate to wait at: `passed` resolves once it is open. */
function gate(isOpen = true) {
  const made = { isOpen };
  made.passed = new Promise((resolve) => {
    made.open = () => {
      made.isOpen = true;
      resolve();
    };
  });
  if (isOpen) made.open();
  return made;
}

function listenTo({ text, picker, submit, addFiles, grow, remember }) {
  byId("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
  });
  text.addEventListener("keydown", (event) => {
    // While an input method composes, Enter chooses a word (229 is how older Safari says so).
    const composing = event.isComposing || event.keyCode === 229;
    if (event.key !== "Enter" || event.shiftKey || composing) return;
    event.preventDefault();
    submit();
  });
  text.addEventListener("input", () => {
    grow();
    remember();
  });
  text.addEventListener("paste", (event) => {
    const { files } = event.clipboardData;
    if (files.length === 0) return;
    event.preventDefault();
    addFiles(files);
  });
  byId("attach").addEventListener("click", () => picker.click());
  picker.addEventListener("change", () => {
    addFiles([...picker.files]);
    picker.value = "";
  });
  acceptDrops(byId("talk"), addFiles);
}

function acceptDrops(place, addFiles) {
  const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
  addEventListener("dragover", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    place.classList.add("dropping");
  });
  addEventListener("dragleave", (event) => event.relatedTarget || place.classList.remove("dropping"));
  addEventListener("drop", (event) => {
    place.classList.remove("dropping");
    if (!carriesFiles(event)) return;
    event.preventDefault();
    addFiles([...event.dataTransfer.files]);
  });
}

function complain(key, fill) {
  const problem = byId("problem");
  problem.hidden = !key;
  if (key) say(problem, key, fill);
}

function progress(item, key, share, fill) {
  const state = item.querySelector(".state");
  if (state) say(state, key, fill);
  let bar = item.querySelector("progress");
  if (!bar) {
    bar = el("progress", { max: 1 });
    item.querySelector(".bubble").append(bar);
  }
  if (share === null) bar.removeAttribute("value");
  else bar.value = share;
}

function fail(item, why, retry) {
  item.classList.remove("pending");
  item.classList.add("failed");
  item.querySelector("progress")?.remove();
  const again = say(el("button", { type: "button", class: "link" }), "tryAgain");
  again.addEventListener("click", retry);
  const failure = el("span", { class: "failure", role: "alert" }, say(el("strong"), "failed"), ` ${why} `, again);
  item.querySelector(".state, .failure")?.remove();
  item.querySelector(".meta").append(failure);
}
