// Links that come and go against the stand-in: what the page shows, keeps and catches up with.

import assert from "node:assert/strict";
import { test } from "node:test";
import { logIn, openChat, scrollUpTo, shows, stage, texts, write } from "./stage.mjs";

test("a page opened while the link is away says so and sends what is written when it is back", async () => {
  const { world, page, ann } = stage;
  await openChat();
  world.push({ type: "link", user: ann.id, state: "reconnecting" });
  world.refuse = "发送失败: 客户端未就绪";
  await page.reload();
  await shows("#strip", "Reconnecting");
  await write("patience");
  await page.waitForSelector(".pending");
  world.refuse = null;
  world.push({ type: "link", user: ann.id, state: "connected" });
  await shows(".state", "Sent");
  assert.ok(await page.locator("#strip").isHidden());
  assert.deepEqual(await texts(), ["patience"]);
});

test("a page that missed that the link is back learns it with the next stream", async () => {
  const { world, page, ann } = stage;
  await openChat();
  world.push({ type: "link", user: ann.id, state: "reconnecting" });
  await shows("#strip", "Reconnecting");
  await write("patience");
  world.links.set(ann.id, "connected");
  world.streams.forEach((stream) => stream.destroy());
  await shows(".state", "Sent");
  await page.waitForSelector("#strip", { state: "hidden" });
});

test("a page whose login ends elsewhere asks to log in again", async () => {
  const { fake, world, page, ann } = stage;
  await openChat();
  const other = await page.context().newPage();
  await other.goto(`${fake.url}/chat/2`);
  await other.waitForSelector("#people a");
  await other.click("[aria-label='Account and keys']");
  await other.click("dialog button:has-text('Log out')");
  await other.waitForURL(`${fake.url}/`);
  await page.waitForURL("**/?again");
  await shows("#problem", "log in again");

  await openChat();
  world.here.delete(ann.id);
  world.push({ type: "link", user: ann.id, state: "ended" });
  await page.waitForURL("**/?again");
});

test("more than a page that was missed is not hidden behind a message that came live", async () => {
  const { world, page, ann, ben } = stage;
  const missed = (from, to) => {
    for (let at = from; at <= to; at += 1) {
      world.records.push({ id: at, fromId: ben.id, toId: ann.id, chat: `letter ${at}`, createTime: new Date().toISOString() });
    }
  };
  missed(1, 10);
  await openChat();
  await shows(".message", "letter 10");
  missed(11, 130);
  world.say(ben.id, ann.id, "letter 131");
  await shows(".message", "letter 131");
  world.push({ type: "link", user: ann.id, state: "reconnecting" });
  world.push({ type: "link", user: ann.id, state: "connected" });
  await shows(".message", "letter 130");
  await scrollUpTo("letter 1");
  assert.deepEqual(await texts(), Array.from({ length: 131 }, (_, at) => `letter ${at + 1}`));
});

test("a message that comes before the history is shown once, and the history before it", async () => {
  const { fake, world, page, ann, ben } = stage;
  for (let at = 1; at <= 60; at += 1) world.say(ben.id, ann.id, `letter ${at}`);
  await logIn();
  const held = await page.context().newPage();
  let letGo;
  const told = new Promise((resolve) => (letGo = resolve));
  await held.route("**/api/chat/records*", async (route) => {
    await told;
    await route.continue();
  });
  await held.goto(`${fake.url}/chat/2`);
  await held.waitForSelector("#people a");
  world.say(ben.id, ann.id, "letter 61");
  await shows(".message", "letter 61", held);
  letGo();
  await held.waitForFunction(() => document.querySelectorAll(".message").length > 20);
  const shown = await texts(held);
  assert.deepEqual(shown, Array.from(shown, (_, at) => `letter ${62 - shown.length + at}`));
});

test("a chat in the background keeps its unread marks until it is looked at", async () => {
  const { world, page, ann, ben } = stage;
  await openChat();
  const setHidden = (hidden) =>
    page.evaluate((value) => {
      Object.defineProperty(document, "hidden", { value, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }, hidden);
  await setHidden(true);
  world.push({ type: "link", user: ann.id, state: "reconnecting" });
  await shows("#strip", "Reconnecting");
  world.say(ben.id, 99, "missed");
  world.records.at(-1).toId = ann.id;
  world.unread.set("1<2", 1);
  world.push({ type: "link", user: ann.id, state: "connected" });
  await page.waitForSelector("#strip", { state: "hidden" });
  await page.waitForTimeout(1000);
  assert.equal(world.unread.get("1<2"), 1);
  await setHidden(false);
  await shows(".message", "missed");
  assert.equal(world.unread.get("1<2"), undefined);
});
