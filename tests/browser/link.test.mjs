// Links that come and go against the stand-in: what the page shows, keeps and catches up with.

import assert from "node:assert/strict";
import { test } from "node:test";
import { openChat, shows, stage, texts, write } from "./stage.mjs";

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
