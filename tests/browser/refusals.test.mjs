// Whatever the agent and the relay can say to a user in Chinese, the page can say in English.

import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { test } from "node:test";

const root = new URL("../../", import.meta.url);

/** A module of the page that imports nothing. */
async function pageModule(name) {
  const text = await readFile(new URL(`src/agent/page/${name}`, root), "utf8");
  return import(`data:text/javascript,${encodeURIComponent(text)}`);
}

/** Whatever is no refusal: good answers, what stands for a message, and a part of several. */
const OTHERS = /成功|^\[|^稍后重试$/;
const CHINESE = /\p{Script=Han}/u;

/** Every refusal that stands in the Rust sources, with a number for each thing that is filled in. */
async function refusals() {
  const found = [];
  for (const folder of ["src/agent/", "src/api/encommunication/"]) {
    const names = await readdir(new URL(folder, root), { recursive: true });
    for (const name of names.filter((name) => name.endsWith(".rs") && !name.endsWith("_tests.rs"))) {
      const text = await readFile(new URL(folder + name, root), "utf8");
      const [code] = text.split("#[cfg(test)]\nmod ");
      const literals = code.matchAll(/"((?:[^"\\\n]|\\.)*)"/g);
      const texts = [...literals].map(([, literal]) => literal.replace(/\{[^}]*\}/g, "7"));
      found.push(...texts.filter((words) => CHINESE.test(words) && !OTHERS.test(words)));
    }
  }
  assert.ok(found.length > 40, `${found.length} were found`);
  return found;
}

test("every refusal has words in both languages", async () => {
  const [{ meaning }, { words }] = await Promise.all(["refusals.js", "words.js"].map(pageModule));
  for (const refusal of await refusals()) {
    const known = meaning(refusal);
    assert.ok(known, `nothing says the same as: ${refusal}`);
    const [english, chinese] = words[known.key];
    assert.ok(CHINESE.test(chinese) && !CHINESE.test(english), known.key);
    for (const name of english.match(/(?<=\{)\w+(?=\})/g) ?? []) {
      assert.ok(known.fill[name], `${refusal} says nothing of ${name}`);
    }
  }
});

test("what differs in a refusal is said in English, too", async () => {
  const { meaning } = await pageModule("refusals.js");
  const wait = { key: "errTooMany", fill: { seconds: "6" } };
  assert.deepEqual(meaning("登录失败次数过多, 请在 6 秒后重试"), wait);
  const name = { key: "errInvalid", fill: { field: "username", problem: "is too long" } };
  assert.deepEqual(meaning("username 不符合要求: is too long"), name);
  assert.equal(meaning("Not Found"), undefined);
});
