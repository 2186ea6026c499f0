// The set-up page tests share: a fresh stand-in and a fresh browser profile for every test.

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach } from "node:test";
import { openPage, startBrowser } from "./browser.mjs";
import { startFake } from "./fake_agent.mjs";

/** What the running test acts on; filled anew before each. */
export const stage = { browser: null, fake: null, world: null, page: null, ann: null, ben: null };

before(async () => (stage.browser = await startBrowser()));
after(() => stage.browser.close());

beforeEach(async () => {
  const fake = await startFake();
  const [ann, ben] = [fake.world.person("Ann"), fake.world.person("Ben")];
  const page = await openPage(stage.browser, fake.url);
  Object.assign(stage, { fake, world: fake.world, page, ann, ben });
});

afterEach(async () => {
  assert.deepEqual(stage.page.faults, []);
  await stage.page.context().close();
  await stage.fake.close();
});

/** Logs `name` in through the first page. */
export async function logIn(page = stage.page, name = "Ann") {
  await page.goto(`${stage.fake.url}/`);
  await page.fill("[name=username]", name);
  await page.fill("[name=password]", "secret");
  await page.press("[name=password]", "Enter");
  await page.waitForURL("**/users");
}

/** Logs Ann in and opens her chat with Ben. */
export async function openChat(page = stage.page) {
  await logIn(page);
  await page.click("#people a:has-text('Ben')");
  await page.waitForURL("**/chat/2");
  await page.waitForSelector("#people a");
}

/** The texts of all messages shown, oldest first. */
export const texts = (page = stage.page) => page.locator(".message .bubble").allTextContents();

/** Scrolls up, as often as it takes, until the message with exactly this text is shown. */
export async function scrollUpTo(text, page = stage.page) {
  await page.focus("#scroller");
  const isShown = (wanted) => {
    document.getElementById("scroller").scrollBy(0, -100_000);
    return [...document.querySelectorAll(".message .bubble")].some((bubble) => bubble.textContent === wanted);
  };
  await page.waitForFunction(isShown, text, { polling: 50 });
}

/** Waits until an element matching `selector` shows `text`. */
export const shows = (selector, text, page = stage.page) =>
  page.locator(selector, { hasText: text }).first().waitFor();

/** Writes `text` and sends it with Enter. */
export async function write(text, page = stage.page) {
  await page.fill("#text", text);
  await page.press("#text", "Enter");
}
