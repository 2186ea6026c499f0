// The agent's page in headless Chromium: how soon a long chat shows its first messages, and how
// soon a picture is drawn at the other side. agent.py calls it, with a plan as its one argument.

import { readFile } from "node:fs/promises";
import { openPage, startBrowser } from "../../tests/browser/browser.mjs";

const { runs, writer, reader, peer, message } = JSON.parse(process.argv[2]);
const text = await readFile(message, "utf8");
const browser = await startBrowser();
const times = { first_screen_ms: [], picture_ms: [] };
for (let run = 0; run < runs; run += 1) {
  times.first_screen_ms.push(await firstScreen());
  times.picture_ms.push(await drawnPicture(`noise-${run}.png`));
}
await browser.close();
console.log(JSON.stringify(times));

/** A page of a fresh profile: nothing is in its cache, and its tab acts for the reader. */
async function freshPage() {
  const page = await openPage(browser, reader.url);
  await page.addInitScript(({ id, username }) => {
    sessionStorage.setItem("sealpost.id", id);
    sessionStorage.setItem("sealpost.username", username);
  }, reader);
  return page;
}

/** Milliseconds from navigation until messages have been painted. */
async function firstScreen() {
  const page = await freshPage();
  await page.addInitScript(() => {
    globalThis.shown = new Promise((resolve) => {
      const observer = new MutationObserver(() => {
        if (!document.querySelector(".message")) return;
        observer.disconnect();
        // The task after the next frame: that frame has been painted.
        requestAnimationFrame(() => setTimeout(() => resolve(performance.now())));
      });
      observer.observe(document, { childList: true, subtree: true });
    });
  });
  await page.goto(`${reader.url}/chat/${peer}`, { waitUntil: "commit" });
  const shown = await page.evaluate(() => globalThis.shown);
  await page.context().close();
  return shown;
}

/** Milliseconds from handing a picture to the writer's agent until it is drawn on the reader's page. */
async function drawnPicture(name) {
  const page = await freshPage();
  await page.goto(`${reader.url}/chat/${writer.id}`);
  await page.waitForSelector("#text:focus");
  const drawn = page.evaluate(async (name) => {
    const image = () => document.querySelector(`.message img[alt="${name}"]`);
    while (!image()?.complete) await new Promise(requestAnimationFrame);
    await image().decode();
    return Date.now();
  }, name);
  const renamed = text.replace("noise.png", name);
  const body = JSON.stringify({ from_id: writer.id, target_id: reader.id, message: renamed });
  const begin = Date.now();
  const answer = await fetch(`${writer.url}/api/send_message`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body,
  });
  if (!answer.ok) throw new Error(`sending a picture: ${answer.status}`);
  const took = (await drawn) - begin;
  await page.context().close();
  return took;
}
