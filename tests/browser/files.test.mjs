// Pictures, video, sound and other files in a chat, against the stand-in.

import assert from "node:assert/strict";
import { test } from "node:test";
import { openChat, shows, stage, write } from "./stage.mjs";

const LIMIT = 6 * 1024 * 1024;
const message = (name, type, bytes) =>
  JSON.stringify({ sealpost: "file", name, type, size: bytes.length, data: Buffer.from(bytes).toString("base64") });

test("a picture that is really markup is offered for saving, never drawn", async () => {
  const { world, page, ann, ben } = stage;
  await openChat();
  const data = Buffer.from("<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>").toString("base64");
  for (const [name, type] of [["a.svg", "image/svg+xml"], ["b.html", "text/html"], ["c.png", "image/png"]]) {
    world.say(ben.id, ann.id, JSON.stringify({ sealpost: "file", name, type, size: 9, data }));
  }
  await shows(".file-line", "c.png");
  assert.equal(await page.locator(".message img, .message svg:not(.icon), .message video").count(), 0);
  const types = await page.locator("a.save").evaluateAll((links) => links.map((link) => link.type));
  assert.deepEqual(types, Array(3).fill("application/octet-stream"));
});

test("a file name cannot disguise its ending", async () => {
  const { world, page, ann, ben } = stage;
  await openChat();
  world.say(ben.id, ann.id, JSON.stringify({ sealpost: "file", name: "../holiday\u202egnp.exe", type: "", size: 1, data: "AA==" }));
  await shows(".file-line", "gnp.exe");
  assert.equal(await page.getAttribute("a.save", "download"), "..holidaygnp.exe");
});

test("a file past the limit is refused with its size and the limit", async () => {
  const { world, page } = stage;
  await openChat();
  await page.setInputFiles("#picker", { name: "film.bin", mimeType: "", buffer: Buffer.alloc(LIMIT + 1) });
  await shows("#problem", "at most 6.0 MiB");
  await page.setInputFiles("#picker", { name: "ok.bin", mimeType: "", buffer: Buffer.alloc(LIMIT, 7) });
  await shows("#tray", "ok.bin");
  await page.click("#send");
  await shows(".state", "Sent");
  const [{ chat }] = world.records;
  assert.equal(Buffer.from(JSON.parse(chat).data, "base64").length, LIMIT);
});

test("a large file shows progress, and what follows it keeps its place", async () => {
  const { world, page } = stage;
  world.delayMs = 700;
  await openChat();
  await page.setInputFiles("#picker", { name: "big.bin", mimeType: "", buffer: Buffer.alloc(3_000_000, 1) });
  await write("after the file");
  await page.waitForSelector(".message.pending progress");
  await page.waitForFunction(() => document.querySelectorAll(".pending").length === 0);
  assert.deepEqual(world.records.map(({ chat }) => chat.slice(0, 8)), ['{"sealpo', "after th"]);
});

test("what is shown is decided by the bytes, whatever a file says it is", async () => {
  const { world, page } = stage;
  await openChat();
  // Only the first bytes are real, so each element is looked at the moment it is made.
  await page.evaluate(() => {
    window.made = [];
    const watcher = new MutationObserver((changes) => {
      for (const item of changes.flatMap(({ addedNodes }) => [...addedNodes])) {
        if (item.matches?.(".message")) window.made.push(item.querySelector("img, video, audio")?.localName ?? "none");
      }
    });
    watcher.observe(document.getElementById("log"), { childList: true });
  });
  const samples = [
    ["\x89PNG\r\n\x1a\n", "text/html", "img"],
    ["\xff\xd8\xff\xe0", "", "img"],
    ["GIF89a", "", "img"],
    ["RIFF0000WEBPVP8 ", "", "img"],
    ["RIFF0000WAVEfmt ", "image/png", "audio"],
    ["\0\0\0\x20ftypisom", "", "video"],
    ["\0\0\0\x20ftypM4A ", "", "audio"],
    ["\0\0\0\x20ftypheic", "image/heic", "none"],
    ["\x1aE\xdf\xa3", "video/webm", "video"],
    ["OggS", "", "audio"],
    ["ID3\x03", "", "audio"],
    ["%PDF-1.7", "image/png", "none"],
    ["<svg onload='alert(1)'>", "image/svg+xml", "none"],
    ["", "image/png", "none"],
  ];
  for (const [head, type] of samples) world.say(2, 1, message("sample", type, Buffer.from(head, "latin1")));
  await page.waitForFunction((count) => window.made.length === count, samples.length);
  assert.deepEqual(await page.evaluate(() => window.made), samples.map(([, , shown]) => shown));
});

test("what only looks like a file stays text", async () => {
  const { world, page } = stage;
  await openChat();
  const almost = ['{"sealpost":"file"', '{"sealpost":"file","data":7}', '{"sealpost":"file","name":"x","data":"%%%"}', '{"a":{"sealpost":"file"}}', "{}"];
  for (const text of almost) world.say(2, 1, text);
  await shows(".bubble", "{}");
  assert.deepEqual(await page.locator(".bubble").allTextContents(), almost);
});

test("a picture opens large and closes with Escape", async () => {
  const { world, page } = stage;
  await openChat();
  const drawn = await page.evaluate(() => {
    const canvas = document.createElement("canvas");
    return canvas.toDataURL("image/png").split(",")[1];
  });
  world.say(2, 1, message("empty.png", "image/png", Buffer.from(drawn, "base64")));
  await page.click(".picture");
  await page.waitForSelector(".lightbox img");
  await page.keyboard.press("Escape");
  await page.waitForSelector(".lightbox", { state: "detached" });
});

test("picked files wait in the tray, may be taken out again, and go in the order they were picked", async () => {
  const { world, page } = stage;
  await openChat();
  const file = (name) => ({ name, mimeType: "text/plain", buffer: Buffer.from(name) });
  await page.setInputFiles("#picker", [file("one.txt"), file("two.txt"), file("three.txt")]);
  await page.click("#tray li:nth-child(2) button");
  await write("and a word");
  await page.waitForFunction(() => document.querySelectorAll(".message .state").length === 3);
  await page.waitForFunction(() => document.querySelectorAll(".pending").length === 0);
  const sent = world.records.map(({ chat }) => (chat.startsWith("{") ? JSON.parse(chat).name : chat));
  assert.deepEqual(sent, ["one.txt", "three.txt", "and a word"]);
});
