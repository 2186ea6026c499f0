// Writing against the stand-in: what must not be sent twice, nor lost without a word.

import assert from "node:assert/strict";
import { test } from "node:test";
import { openChat, stage, texts, write } from "./stage.mjs";

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
