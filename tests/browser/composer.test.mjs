// Writing against the stand-in: what must not be sent twice, nor lost without a word.

import assert from "node:assert/strict";
import { test } from "node:test";
import { hex } from "./fake_agent.mjs";
import { logIn, openChat, shows, stage, texts, write } from "./stage.mjs";

test("trying again in haste sends once", async () => {
  const { world, page } = stage;
  await openChat();
  world.refuse = "发送失败: 客户端未就绪";
  await write("once");
  await page.waitForSelector(".failed");
  world.refuse = null;
  world.delayMs = 1000;
  await write("on its way");
  await page.dblclick(".failed .link");
  await write("after");
  await page.waitForFunction(() => document.querySelectorAll(".pending, .failed").length === 0);
  assert.deepEqual(world.records.map(({ chat }) => chat), ["on its way", "once", "after"]);
  assert.deepEqual(await texts(), ["once", "on its way", "after"]);
});

test("what was not sent, and files that were only picked, are not left without a word", async () => {
  const { world, page } = stage;
  const asked = [];
  page.on("dialog", (dialog) => {
    asked.push(dialog.type());
    dialog.accept();
  });
  await openChat();
  await page.setInputFiles("#picker", { name: "notes.txt", mimeType: "text/plain", buffer: Buffer.from("x") });
  await page.waitForSelector("#tray li");
  await page.click("a.brand");
  await page.waitForURL("**/users");
  assert.deepEqual(asked, ["beforeunload"]);

  await page.click("#people a");
  world.refuse = "发送失败: 客户端未就绪";
  await write("hello?");
  await page.waitForSelector(".failed");
  await page.click("a.brand");
  await page.waitForURL("**/users");
  assert.deepEqual(asked, ["beforeunload", "beforeunload"]);

  await page.click("#people a");
  await page.click("a.brand");
  await page.waitForURL("**/users");
  assert.equal(asked.length, 2);
});

test("a draft outlives a reload and not a logout", async () => {
  const { fake, page } = stage;
  await openChat();
  await page.fill("#text", "not yet said");
  await page.reload();
  await page.waitForSelector("#people a");
  assert.equal(await page.inputValue("#text"), "not yet said");
  await page.click("[aria-label='Account and keys']");
  await page.click("dialog button:has-text('Log out')");
  await page.waitForURL(`${fake.url}/`);
  assert.doesNotMatch(await page.evaluate(() => JSON.stringify(sessionStorage)), /not yet said/);
});

test("what waits for a changed key says so, is told after a reload, and is sent once it is accepted", async () => {
  const { fake, world, page, ben } = stage;
  await openChat();
  const other = await page.context().newPage();
  await other.goto(`${fake.url}/chat/2`);
  await other.waitForSelector("#people a");
  // No page knows of it yet.
  ben.changed = { old: ben.fingerprint, new: hex(77) };
  await write("to whom?");
  await shows(".pending .state", "Waits for you to accept");
  await shows(".pending .state", "Waits for you to accept", other);
  await page.reload();
  await shows(".warning", "1 of your messages");
  await page.click(".warning button");
  for (const tab of [page, other]) {
    await shows(".message:not(.pending)", "to whom?", tab);
    assert.deepEqual(await texts(tab), ["to whom?"]);
  }
});

const asksBeforeLeaving = (page) =>
  page.evaluate(() => !dispatchEvent(new Event("beforeunload", { cancelable: true })));

test("a message the agent took is sent, though its answer was lost, and is not to be sent again", async () => {
  const { world, page } = stage;
  await openChat();
  await page.route("**/api/send_message", async (route) => {
    await route.fetch();
    await route.abort();
  });
  await write("only once");
  await page.waitForFunction(() => document.querySelector(".message:not(.pending) .state"));
  await page.waitForTimeout(300);
  assert.equal(await page.locator(".failure, .failed").count(), 0);
  assert.equal(await asksBeforeLeaving(page), false);
  assert.equal(world.records.length, 1);
});

test("a message whose echo was lost as well is sent once its record is seen", async () => {
  const { world, page, ann, ben } = stage;
  await openChat();
  await page.route("**/api/send_message", async (route) => {
    world.say(ann.id, ben.id, "only once");
    await route.abort();
  });
  await write("only once");
  await page.waitForSelector(".failure");
  assert.equal(await asksBeforeLeaving(page), true);
  world.streams.forEach((stream) => stream.destroy());
  await shows(".message .state", "Sent");
  assert.equal(await page.locator(".failure, .failed").count(), 0);
  assert.equal(await asksBeforeLeaving(page), false);
  assert.deepEqual(await texts(), ["only once"]);
});

test("the echo of a message is not taken for one that the agent refused", async () => {
  const { world, page } = stage;
  await openChat();
  world.refuse = "发送失败: 客户端未就绪";
  await write("twice");
  await page.waitForSelector(".failure");
  world.refuse = null;
  await write("twice");
  await shows(".message .state", "Sent");
  assert.equal(await page.locator(".failure").count(), 1);
});

test("a draft does not outlive a logout in another tab once somebody else logs in", async () => {
  const { fake, page } = stage;
  await openChat();
  await page.fill("#text", "not yet said");
  const other = await page.context().newPage();
  await other.goto(`${fake.url}/chat/2`);
  await other.waitForSelector("#people a");
  await other.click("[aria-label='Account and keys']");
  await other.click("dialog button:has-text('Log out')");
  await page.waitForURL("**/?again");
  await logIn(page, "Ben");
  assert.doesNotMatch(await page.evaluate(() => JSON.stringify(sessionStorage)), /not yet said/);
});
