// Two people with the real thing: one server, two agents, and a browser for each.
// SEALPOST_BIN names the binary.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, afterEach, before, test } from "node:test";
import { openPage, startBrowser } from "./browser.mjs";

const BIN = process.env.SEALPOST_BIN;
const running = [];
let browser, room, server, amy, bob;

before(async () => {
  assert.ok(BIN, "SEALPOST_BIN names no binary");
  room = await mkdtemp(join(tmpdir(), "sealpost-browser-"));
  browser = await startBrowser();
  server = await start("serve", "--data-dir", join(room, "server"), "--port", "0", "--no-chat-room");
  amy = await person("amy");
  bob = await person("bob");
});

after(async () => {
  await browser?.close();
  await Promise.all(running.map(stop));
  await rm(room, { recursive: true, force: true });
});

afterEach(() => {
  assert.deepEqual(amy.page.faults, []);
  assert.deepEqual(bob.page.faults, []);
});

/** Runs the binary and waits for the line that says where it listens. */
async function start(...args) {
  const child = spawn(BIN, args, { cwd: room, stdio: ["ignore", "pipe", "inherit"] });
  running.push(child);
  child.on("error", (error) => console.error(error));
  for await (const line of createInterface({ input: child.stdout })) {
    const url = line.match(/http:\/\/127\.0\.0\.1:\d+/)?.[0];
    if (url) {
      child.stdout.resume(); // So that later lines never fill the pipe.
      return { child, url };
    }
  }
  throw new Error(`sealpost ${args[0]} ended before it listened`);
}

function stop(child) {
  if (child.exitCode !== null || child.signalCode !== null) return undefined;
  const gone = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  return gone;
}

const startAgent = (directory) =>
  start("agent", "--server", server.url, "--port", "0", "--data-dir", join(room, directory));

async function person(name) {
  const agent = await startAgent(name);
  return { name, agent, page: await openPage(browser, agent.url) };
}

async function enter({ page, agent, name }, registering) {
  await page.goto(`${agent.url}/`);
  if (registering) await page.click("#tab-register");
  await page.fill("[name=username]", name);
  await page.fill("[name=password]", `pass word of ${name}`);
  if (registering) await page.fill("[name=repassword]", `pass word of ${name}`);
  await page.click("#enter");
  await page.waitForURL("**/users");
}

const openChat = async (who, whom) => {
  await who.page.click(`#people a:has-text("${whom.name}")`);
  await who.page.waitForURL("**/chat/*");
  await who.page.waitForSelector("#text:focus");
};
const write = async ({ page }, text) => {
  await page.fill("#text", text);
  await page.press("#text", "Enter");
};
const shows = ({ page }, selector, text) => page.locator(selector, { hasText: text }).first().waitFor();
const bubbles = ({ page }) => page.locator(".message .bubble").allTextContents();

test("two people register and see each other online", async () => {
  await enter(amy, true);
  await shows(amy, "#nobody", "Nobody else is here yet");
  await enter(bob, true);
  await shows(amy, "#people .presence.on + .name", "bob");
  await shows(bob, "#people .presence.on + .name", "amy");
});

test("they chat both ways", async () => {
  await openChat(amy, bob);
  await write(amy, "hello bob");
  await shows(bob, "#people .badge", "1");
  await openChat(bob, amy);
  await shows(bob, ".message", "hello bob");
  await write(bob, "hello amy\n你好 👋");
  await shows(amy, ".message", "你好");
  await write(amy, "and again");
  await shows(bob, ".message", "and again");
  assert.deepEqual(await bubbles(amy), ["hello bob", "hello amy\n你好 👋", "and again"]);
  assert.deepEqual(await bubbles(bob), await bubbles(amy));
});

test("a message full of markup is shown as text", async () => {
  const hostile = `</li><script>document.title="owned"</script><img src=x onerror=alert(1)>&lt;b&gt;{"a":"b"}`;
  await write(bob, hostile);
  await shows(amy, ".message", "onerror");
  assert.equal((await bubbles(amy)).at(-1), hostile);
  assert.equal(await amy.page.locator(".message img, .message script").count(), 0);
});

test("a picture is shown, a file comes out as it went in", async () => {
  const drawn = await amy.page.evaluate(() => {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = 40;
    canvas.getContext("2d").fillRect(0, 0, 20, 20);
    return canvas.toDataURL("image/png").split(",")[1];
  });
  await amy.page.setInputFiles("#picker", { name: "square.png", mimeType: "image/png", buffer: Buffer.from(drawn, "base64") });
  await amy.page.click("#send");
  const image = bob.page.locator(".message img[alt='square.png']");
  await image.waitFor();
  await bob.page.waitForFunction(() => document.querySelector(".message img").naturalWidth === 40);

  const bytes = Buffer.alloc(70_000, "any bytes at all \0 ÿ");
  await bob.page.setInputFiles("#picker", { name: "notes.bin", mimeType: "application/x-notes", buffer: bytes });
  await bob.page.click("#send");
  await shows(amy, ".file-line", "notes.bin");
  const [download] = await Promise.all([
    amy.page.waitForEvent("download"),
    amy.page.locator("a.save").last().click(),
  ]);
  assert.equal(download.suggestedFilename(), "notes.bin");
  const parts = [];
  for await (const part of await download.createReadStream()) parts.push(part);
  assert.deepEqual(Buffer.concat(parts), bytes);
});

test("a picture of five megabytes arrives whole", async () => {
  const size = 5 * 1024 * 1024;
  await amy.page.setInputFiles("#picker", { name: "large.jpg", mimeType: "image/jpeg", buffer: Buffer.alloc(size, "\xff\xd8\xff", "latin1") });
  await amy.page.click("#send");
  await shows(bob, ".file-line", "large.jpg");
  await shows(bob, ".file-line", "5.0 MiB");
});

test("a reload shows the same history, in the same order, on both sides", async () => {
  const settled = (who) => who.page.waitForFunction(() => document.querySelectorAll(".message").length === 7);
  for (const who of [amy, bob]) {
    const earlier = await bubbles(who);
    await who.page.reload();
    await settled(who);
    assert.deepEqual(await bubbles(who), earlier);
  }
});

test("what is written to somebody absent is in their history when they return", async () => {
  await stop(bob.agent.child);
  await shows(amy, "#peer", "offline");
  await write(amy, "for later");
  await shows(amy, ".message.mine", "for later");
  bob.agent = await startAgent("bob");
  await bob.page.context().close();
  bob.page = await openPage(browser, bob.agent.url);
  await enter(bob, false);
  await openChat(bob, amy);
  await shows(bob, ".message", "for later");
  assert.deepEqual((await bubbles(bob)).slice(0, 3), ["hello bob", "hello amy\n你好 👋", "and again"]);
});

test("fingerprints agree on both sides", async () => {
  const read = async ({ page }) => {
    await page.click("#keys");
    await page.waitForSelector(".sheet code >> nth=2");
    const shown = await page.locator(".sheet code").allTextContents();
    await page.keyboard.press("Escape");
    return shown;
  };
  const [amys, bobs] = [await read(amy), await read(bob)];
  assert.equal(amys[0], bobs[1]);
  assert.equal(amys[1], bobs[0]);
  assert.equal(amys[2], bobs[2]);
});

/** A new device stores its public key through the API that has a call for it. */
async function showAnotherKeyOf({ name }) {
  const post = async (path, body, headers) => {
    const method = "POST";
    const response = await fetch(server.url + path, { method, headers, body: JSON.stringify(body) });
    assert.equal(response.status, 200);
    return response.json();
  };
  const { data } = await post("/login", { username: name, password: `pass word of ${name}` });
  const { publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const pair = {
    public_key: publicKey.export({ type: "spki", format: "pem" }),
    private_key_encrypted: "kept on the new device",
  };
  await post("/api/v1/encryption/keys", pair, { Authorization: `Bearer ${data.token}` });
}

test("somebody who comes back with another key is not written to until the key is accepted", async () => {
  const before = await bubbles(amy);
  await stop(bob.agent.child);
  await showAnotherKeyOf(bob);
  bob.agent = await startAgent("bob-on-another-computer");
  await bob.page.context().close();
  bob.page = await openPage(browser, bob.agent.url);
  await enter(bob, false);
  await shows(amy, ".warning", "bob's key has changed");
  assert.equal(await amy.page.locator(".warning code").count(), 2);
  await write(amy, "is it you?");
  assert.deepEqual(await bubbles(amy), before);
  await amy.page.click(".warning button");
  await amy.page.waitForSelector(".warning", { state: "detached" });
  await openChat(bob, amy);
  await amy.page.press("#text", "Enter");
  await shows(bob, ".message", "is it you?");
});

test("whose old key is lost publishes that of this computer, and friends are asked once more", async () => {
  await shows(bob, ".warning", "Others see another key of yours");
  await bob.page.click(".warning button");
  await bob.page.waitForSelector(".warning", { state: "detached" });
  await shows(amy, ".warning", "bob's key has changed");
  await amy.page.click(".warning button");
  await amy.page.waitForSelector(".warning", { state: "detached" });
  await write(amy, "welcome to your new computer");
  await shows(bob, ".message", "welcome to your new computer");
});
