// The pages against the stand-in: what cannot be forced on a real agent, or not quickly.

import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as moment } from "node:timers/promises";
import { openPage } from "./browser.mjs";
import { hex, POLICY } from "./fake_agent.mjs";
import { logIn, openChat, scrollUpTo, shows, stage, texts, write } from "./stage.mjs";

test("the page is served under a policy that allows nothing from elsewhere and nothing inline", async () => {
  const { fake, page } = stage;
  const response = await page.goto(fake.url);
  assert.equal(response.headers()["content-security-policy"], POLICY);
  assert.doesNotMatch(await response.text(), / style=|<style|<script(?![^>]* src=)| on\w+=/);
});

test("a wrong password is told and nothing is lost", async () => {
  const { fake, page } = stage;
  await page.goto(fake.url);
  await page.fill("[name=username]", "Ann");
  await page.fill("[name=password]", "wrong");
  await page.click("#enter");
  await shows("#problem", "Wrong username or password");
  assert.equal(await page.inputValue("[name=username]"), "Ann");
});

test("after a password was changed elsewhere the old one is asked for once", async () => {
  const { fake, page, ann } = stage;
  ann.sealedUnder = "the old one";
  await page.goto(fake.url);
  assert.ok(await page.locator("#old").isHidden());
  await page.fill("[name=username]", "Ann");
  await page.fill("[name=password]", "secret");
  await page.click("#enter");
  await shows("#problem", "enter the old one too");
  await page.fill("[name=oldpassword]", "the old one");
  await page.press("[name=oldpassword]", "Enter");
  await page.waitForURL("**/users");
});

test("passwords that differ are told before anything is sent", async () => {
  const { fake, world, page } = stage;
  await page.goto(fake.url);
  await page.click("#tab-register");
  await page.fill("[name=username]", "Cem");
  await page.fill("[name=password]", "one");
  await page.fill("[name=repassword]", "two");
  await page.click("#enter");
  await shows("#problem", "differ");
  assert.ok(!world.requests.includes("POST /api/register"));
});

test("a tab whose user the agent has forgotten is asked to log in again, by name", async () => {
  const { fake, world, page } = stage;
  await logIn();
  world.here.clear();
  await page.goto(`${fake.url}/chat/2`);
  await page.waitForURL("**/?again");
  await shows("#problem", "log in again");
  assert.equal(await page.inputValue("[name=username]"), "Ann");
});

test("with one user on the agent a new tab is theirs; with two it asks", async () => {
  const { fake, world, page, ann, ben } = stage;
  world.here.add(ann.id);
  await page.goto(`${fake.url}/users`);
  await page.waitForSelector("#people a");
  world.here.add(ben.id);
  const other = await page.context().newPage();
  await other.goto(`${fake.url}/users`);
  await other.waitForURL(`${fake.url}/`);
  await other.click("#here button:has-text('Ben')");
  await other.waitForURL("**/users");
  await shows("#people", "Ann", other);
});

test("who comes and goes is seen without a reload", async () => {
  const { world, ben } = stage;
  await logIn();
  await shows("#online-count", "1 online");
  ben.online = false;
  world.push({ type: "online", user: ben.id });
  await shows("#online-count", "0 online");
  world.person("Cem");
  world.push({ type: "online", user: 3 });
  await shows("#people", "Cem");
});

test("unread messages are marked in the list and in the title until they are read", async () => {
  const { world, page, ann, ben } = stage;
  await logIn();
  world.say(ben.id, ann.id, "one");
  world.say(ben.id, ann.id, "two");
  await shows("#people .badge", "2");
  await page.waitForFunction(() => document.title.startsWith("(2)"));
  await page.click("#people a");
  await shows(".message", "two");
  await page.waitForFunction(() => !document.title.startsWith("("));
  assert.equal(await page.locator("#people .badge").count(), 0);
});

test("a message that arrives while its chat is open counts as read", async () => {
  const { world, page, ann, ben } = stage;
  await openChat();
  world.say(ben.id, ann.id, "live");
  await shows(".message", "live");
  while (world.unread.has("1<2")) await moment(20);
});

test("what the server refuses after all is told on the page", async () => {
  const { world, ann } = stage;
  await openChat();
  world.push({ type: "refused", user: ann.id, notice: "消息超过 9 字节的上限" });
  await shows("#problem", "too long");
});

test("Enter sends, Shift+Enter starts a line, and an input method's Enter does neither", async () => {
  const { world, page } = stage;
  await openChat();
  await page.fill("#text", "first");
  await page.press("#text", "Shift+Enter");
  await page.type("#text", "second");
  await page.dispatchEvent("#text", "keydown", { key: "Enter", isComposing: true, bubbles: true });
  assert.equal(world.records.length, 0);
  await page.press("#text", "Enter");
  await shows(".state", "Sent");
  assert.deepEqual(world.records.map(({ chat }) => chat), ["first\nsecond"]);
  assert.deepEqual(await texts(), ["first\nsecond"]);
});

test("markup, scripts and addresses are shown as text", async () => {
  const { world, page, ann, ben } = stage;
  await openChat();
  const hostile = `<img src=x onerror="document.title='owned'"><script>alert(1)</script><b>bold</b> javascript:alert(1)`;
  world.say(ben.id, ann.id, hostile);
  await shows(".message", "bold");
  assert.deepEqual(await texts(), [hostile]);
  assert.equal(await page.locator(".message img, .message script, .message b, .message a").count(), 0);
});

test("what was not sent says so and can be tried again", async () => {
  const { world, page } = stage;
  await openChat();
  world.refuse = "发送失败: 客户端未就绪";
  await write("hello?");
  await shows(".failed .failure", "connection is not ready");
  world.refuse = null;
  await page.click(".failed .link");
  await shows(".state", "Sent");
  assert.deepEqual(await texts(), ["hello?"]);
});

test("what is written while the link is away goes out in order when it is back", async () => {
  const { world, page, ann } = stage;
  await openChat();
  world.refuse = "发送失败: 客户端未就绪";
  await write("one");
  await page.waitForSelector(".failed");
  world.push({ type: "link", user: ann.id, state: "reconnecting" });
  await shows("#strip", "Reconnecting");
  await write("two");
  await page.waitForSelector(".pending");
  world.refuse = null;
  world.push({ type: "link", user: ann.id, state: "connected" });
  await page.waitForFunction(() => document.querySelectorAll(".pending, .failed").length === 0);
  assert.deepEqual(world.records.map(({ chat }) => chat).toSorted(), ["one", "two"]);
  assert.deepEqual(await texts(), ["one", "two"]);
});

test("a history of 10,000 shows its newest screen alone and pages back in order", async () => {
  const { fake, world, page, ann, ben } = stage;
  for (let at = 1; at <= 10_000; at += 1) world.say(at % 2 ? ben.id : ann.id, at % 2 ? ann.id : ben.id, `letter ${at}`);
  await logIn();
  await page.goto(`${fake.url}/chat/2`);
  await shows(".message", "letter 10000");
  await page.waitForFunction(() => document.querySelectorAll(".message").length >= 50);
  assert.ok((await page.locator(".message").count()) < 300);
  await scrollUpTo("letter 9600");
  const shown = (await texts()).map((text) => Number(text.split(" ")[1]));
  assert.deepEqual(shown, Array.from(shown, (_, at) => 10_001 - shown.length + at));
});

test("reading further up is not disturbed by a new message", async () => {
  const { world, page, ann, ben } = stage;
  for (let at = 1; at <= 60; at += 1) world.say(ben.id, ann.id, `letter ${at}`);
  await openChat();
  await page.waitForFunction(() => document.querySelectorAll(".message").length > 50);
  await page.evaluate(() => document.getElementById("scroller").scrollTo(0, -900));
  await page.waitForSelector("#jump:not([hidden])");
  const where = () => page.locator(".bubble", { hasText: /^letter 40$/ }).evaluate((item) => item.getBoundingClientRect().top);
  const top = await where();
  world.say(ben.id, ann.id, "below");
  await shows("#jump", "1 new");
  assert.ok(Math.abs((await where()) - top) < 2);
  await page.click("#jump");
  await page.waitForSelector("#jump", { state: "hidden" });
});

test("a changed key stops sending until both fingerprints were shown and the new one accepted", async () => {
  const { world, page, ann, ben } = stage;
  await openChat();
  ben.changed = { old: ben.fingerprint, new: hex(77) };
  world.push({ type: "key_changed", user: ann.id, peer: ben.id });
  await shows(".warning", "Ben's key has changed");
  const shown = (await page.locator(".warning code").allTextContents()).map((text) => text.replaceAll(" ", ""));
  assert.deepEqual(shown, [ben.changed.old, ben.changed.new]);
  await write("too early");
  assert.equal(world.records.length, 0);
  await page.click(".warning button");
  await page.waitForSelector(".warning", { state: "detached" });
  await page.press("#text", "Enter");
  await shows(".state", "Sent");
});

test("a changed server key is shown with both fingerprints and can be accepted", async () => {
  const { world, page } = stage;
  await logIn();
  world.server.changed = { old: world.server.fingerprint, new: hex(88) };
  world.push({ type: "server_key_changed" });
  await shows(".warning", "server's key has changed");
  assert.equal(await page.locator(".warning code").count(), 2);
  await page.click(".warning button");
  await page.waitForSelector(".warning", { state: "detached" });
  assert.equal(world.server.fingerprint, hex(88));
});

test("a server key that changes while a page opens is shown all the same", async () => {
  const { fake, world, page } = stage;
  await logIn();
  await page.goto("about:blank");
  // It is told while the page still waits for the answer to who is here.
  await page.route("**/api/me", async (route) => {
    const answer = await route.fetch();
    if (!world.server.changed) {
      while (world.streams.size === 0) await moment(20);
      await moment(300);
      world.server.changed = { old: world.server.fingerprint, new: hex(88) };
      world.push({ type: "server_key_changed" });
      await moment(300);
    }
    await route.fulfill({ response: answer });
  });
  await page.goto(`${fake.url}/users`);
  await shows(".warning", "server's key has changed");
});

test("a lost link is shown until it is back, and what was missed appears", async () => {
  const { world, page, ann, ben } = stage;
  await openChat();
  world.push({ type: "link", user: ann.id, state: "reconnecting" });
  await shows("#strip", "Reconnecting");
  world.say(ben.id, 99, "kept by the server");
  world.records.at(-1).toId = ann.id;
  world.push({ type: "link", user: ann.id, state: "connected" });
  await shows(".message", "kept by the server");
  assert.ok(await page.locator("#strip").isHidden());
});

test("a stream that ends is opened again and nothing is doubled", async () => {
  const { world, ann, ben } = stage;
  await openChat();
  await write("before");
  world.say(ben.id, ann.id, "answer");
  await shows(".message", "answer");
  world.streams.forEach((stream) => stream.destroy());
  await shows("#strip", "does not answer");
  world.records.push({ id: 3, fromId: 2, toId: 1, chat: "meanwhile", createTime: new Date().toISOString() });
  await shows(".message", "meanwhile");
  assert.deepEqual(await texts(), ["before", "answer", "meanwhile"]);
});

test("tabs of one browser share one stream and show each other's messages", async () => {
  const { fake, world, page, ann, ben } = stage;
  await openChat();
  const tabs = [];
  for (let at = 0; at < 7; at += 1) {
    const tab = await page.context().newPage();
    await tab.goto(`${fake.url}/chat/2`);
    await tab.waitForSelector("#people a");
    tabs.push(tab);
  }
  assert.equal(world.streams.size, 1);
  await write("seen everywhere");
  for (const tab of tabs) await shows(".message", "seen everywhere", tab);
  assert.deepEqual(await texts(), ["seen everywhere"]);
  await page.goto("about:blank");
  await shows("#people", "Ben", tabs[0]);
  world.say(ben.id, ann.id, "still live");
  for (const tab of tabs) await shows(".message", "still live", tab);
});

test("language and colours switch in place and are remembered", async () => {
  const { page } = stage;
  await openChat();
  await page.click("text=中文");
  await shows("#hint", "换行");
  assert.equal(await page.getAttribute("html", "lang"), "zh");
  await page.click("[aria-label='深色模式']");
  await page.reload();
  await shows("#hint", "换行");
  assert.equal(await page.getAttribute("html", "data-theme"), "dark");
});

test("the browser's language is taken at first", async () => {
  const { browser, fake } = stage;
  const chinese = await openPage(browser, fake.url, { locale: "zh-CN" });
  await chinese.goto(fake.url);
  await shows("#tab-register", "注册", chinese);
  assert.deepEqual(chinese.faults, []);
  await chinese.context().close();
});

test("sound is off until it is turned on", async () => {
  const { page } = stage;
  await logIn();
  const button = page.locator("#tools button").first();
  assert.equal(await button.getAttribute("aria-pressed"), "false");
  await button.click();
  assert.equal(await button.getAttribute("aria-pressed"), "true");
});

test("everything can be done from the keyboard", async () => {
  const { fake, page } = stage;
  await page.goto(fake.url);
  await page.waitForSelector("html:not([data-booting])");
  await page.keyboard.type("Ann");
  await page.keyboard.press("Tab");
  await page.keyboard.type("secret");
  await page.keyboard.press("Enter");
  await page.waitForURL("**/users");
  await page.waitForSelector("#people a");
  await page.keyboard.press("Tab");
  await shows(".skip:focus", "Skip to the people");
  await page.keyboard.press("Enter");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await page.waitForURL("**/chat/2");
  await page.waitForSelector("#text:focus");
  await page.keyboard.type("by hand");
  await page.keyboard.press("Enter");
  await shows(".message", "by hand");
});

test("nothing overflows a screen 360 pixels wide", async () => {
  const { fake, world, page, ann } = stage;
  await page.setViewportSize({ width: 360, height: 640 });
  const fits = () => page.evaluate(() => document.documentElement.scrollWidth <= innerWidth);
  world.person("W".repeat(200));
  await page.goto(fake.url);
  assert.ok(await fits());
  await logIn();
  await shows("#people", "WWW");
  assert.ok(await fits());
  world.say(3, ann.id, "W".repeat(500));
  world.accounts.get(3).changed = { old: hex(1), new: hex(2) };
  await page.goto(`${fake.url}/chat/3`);
  await shows(".message", "WWW");
  await page.waitForSelector(".warning");
  assert.ok(await fits());
});
