// Draws the pages for the README, from the stand-in and its made-up people.
//
//   node screenshots.mjs [directory] [all]     "all" adds every size, colour and language

import { mkdirSync } from "node:fs";
import { openPage, startBrowser } from "./browser.mjs";
import { hex, startFake } from "./fake_agent.mjs";

const directory = process.argv[2] ?? new URL("../../docs/screenshots", import.meta.url).pathname;
const SIZES = { desktop: { width: 1280, height: 800 }, phone: { width: 390, height: 844 }, small: { width: 360, height: 640 } };
const README = ["chat-desktop-light", "chat-phone-dark", "users-phone-light", "login-desktop-dark", "warning-desktop-light", "chat-phone-light-zh"];

const { url, world, close } = await startFake();
const [ann, ben, lei, mei] = ["Ann", "Ben", "李雷", "韩梅梅"].map((name) => world.person(name));
world.person("Christopher from the rowing club", false);
const dora = world.person("Dora");
world.person("Émile", false);
mei.changed = { old: mei.fingerprint, new: hex(44) };

const browser = await startBrowser();
mkdirSync(directory, { recursive: true });
await write();
for (const [size, viewport] of Object.entries(SIZES)) {
  for (const colorScheme of ["light", "dark"]) {
    for (const locale of ["en-GB", "zh-CN"]) await draw(`${size}-${colorScheme}${locale === "zh-CN" ? "-zh" : ""}`, { viewport, colorScheme, locale });
  }
}
await browser.close();
await close();

/** Fills the world with a conversation worth looking at. */
async function write() {
  const page = await openPage(browser, url);
  await page.goto(url);
  const picture = await page.evaluate(paintEvening);
  await page.context().close();
  const file = (name, data) => JSON.stringify({ sealpost: "file", name, type: "", size: 0, data });
  const minutesAgo = (minutes) => new Date(Date.now() - minutes * 60_000).toISOString();
  for (let at = 0; at < 60; at += 1) world.say(at % 3 ? 1 : 2, at % 3 ? 2 : 1, `Older letter ${at + 1}`, minutesAgo(4000 - at));
  world.say(2, 1, "Did you get home before the rain?", minutesAgo(1490));
  world.say(1, 2, "Just about. The last ten minutes I ran.", minutesAgo(1484));
  world.say(2, 1, "周四下午三点见？\n我带上相机。", minutesAgo(52));
  world.say(1, 2, "好的，三点见！", minutesAgo(48));
  world.say(1, 2, file("Thursday – notes.pdf", Buffer.alloc(182_044).toString("base64")), minutesAgo(47));
  world.say(2, 1, "Got them, thank you. Look at what the rain left behind:", minutesAgo(5));
  world.say(2, 1, file("evening.jpg", picture), minutesAgo(4));
  world.say(1, 2, "Oh, that is lovely!", minutesAgo(1));
}

/** A landscape at dusk as the base64 of a JPEG; runs in the browser. */
function paintEvening() {
  const canvas = Object.assign(document.createElement("canvas"), { width: 900, height: 560 });
  const brush = canvas.getContext("2d");
  const sky = brush.createLinearGradient(0, 0, 0, 560);
  [[0, "#f6c98a"], [0.55, "#e58a6b"], [1, "#5b5f8f"]].forEach(([at, colour]) => sky.addColorStop(at, colour));
  brush.fillStyle = sky;
  brush.fillRect(0, 0, 900, 560);
  brush.fillStyle = "#fff3d6";
  brush.beginPath();
  brush.arc(620, 230, 56, 0, 7);
  brush.fill();
  for (const [height, colour] of [[350, "#5a5785"], [410, "#3f4470"], [480, "#272c50"]]) {
    brush.fillStyle = colour;
    brush.beginPath();
    brush.moveTo(0, 560);
    for (let x = 0; x <= 900; x += 10) brush.lineTo(x, height + 40 * Math.sin(x / 110 + height) + 18 * Math.sin(x / 37));
    brush.lineTo(900, 560);
    brush.fill();
  }
  return canvas.toDataURL("image/jpeg", 0.8).split(",")[1];
}

async function draw(tag, options) {
  const page = await openPage(browser, url, options);
  const shoot = async (name) => {
    if (process.argv[3] !== "all" && !README.includes(`${name}-${tag}`)) return;
    await page.waitForTimeout(250);
    await page.screenshot({ path: `${directory}/${name}-${tag}.png` });
  };
  world.here.clear();
  await page.goto(url);
  await page.waitForSelector("html:not([data-booting])");
  await shoot("login");
  await page.click("#tab-register");
  await shoot("register");
  await page.click("#tab-login");
  await page.fill("[name=username]", ann.username);
  await page.fill("[name=password]", "secret");
  await page.click("#enter");
  await page.waitForURL("**/users");
  world.unread.clear();
  world.unread.set(`1<${lei.id}`, 2).set(`1<${dora.id}`, 1);
  await page.reload();
  await page.waitForSelector("#people a");
  await shoot("users");
  await page.goto(`${url}/chat/${ben.id}`);
  await page.waitForSelector(".message img");
  await shoot("chat");
  await page.click("#keys");
  await page.waitForSelector(".sheet section");
  await shoot("keys");
  await page.goto(`${url}/chat/${mei.id}`);
  await page.waitForSelector(".warning");
  await shoot("warning");
  if (page.faults.length) console.error(tag, page.faults);
  await page.context().close();
}
