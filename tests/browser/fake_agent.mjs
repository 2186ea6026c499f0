// A stand-in for `sealpost agent`: the local API for two users kept in memory, with no server,
// no keys and no cryptography. It serves the real page files under the real content policy, and
// lets a test force what is hard to force on the real thing: changed keys, lost links, refusals.
//
//   node fake_agent.mjs [port]      serves a small world to look at in a browser

import { createHash } from "node:crypto";
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

const PAGES = fileURLToPath(new URL("../../src/agent/page/", import.meta.url));
export const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; " +
  "media-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
const TYPES = { html: "text/html", js: "text/javascript", css: "text/css" };

/** Starts the stand-in; `world` is its whole state, free for a test to change. */
export async function startFake(port = 0) {
  const world = newWorld();
  const server = createServer((request, response) => answer(world, request, response));
  await new Promise((resolve) => server.listen(port, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${server.address().port}`;
  const close = () => {
    world.streams.forEach((stream) => stream.destroy());
    return new Promise((resolve) => server.close(resolve));
  };
  return { url, world, close };
}

function newWorld() {
  const world = {
    accounts: new Map(), // id → { id, username, password, online, fingerprint, changed }
    here: new Set(), // ids logged in on this agent
    held: [], // what waits for a changed key: arguments of say
    records: [], // { id, fromId, toId, chat, createTime }, oldest first
    unread: new Map(), // "reader<writer" → count
    server: { url: "http://127.0.0.1:5000", fingerprint: hex(99), changed: null },
    streams: new Set(),
    links: new Map(), // id → state of the link as it was told last, connected if it never was
    refuse: null, // the text every send is refused with, if any
    delayMs: 0, // how long a send takes
    requests: [],
  };
  /** Adds an account that may be logged in, or only be somebody to talk to. */
  world.person = (username, online = true) => {
    const id = world.accounts.size + 1;
    const account = { id, username, password: "secret", online, fingerprint: hex(id), changed: null };
    world.accounts.set(id, account);
    return account;
  };
  world.push = (event) => {
    if (event.type === "link") world.links.set(event.user, event.state);
    for (const stream of world.streams) stream.write(`data: ${JSON.stringify(event)}\n\n`);
  };
  /** Stores a message and tells the receiver's pages, with its id. */
  world.say = (fromId, toId, chat, createTime = new Date().toISOString()) => {
    const id = world.records.length + 1;
    world.records.push({ id, fromId, toId, chat, createTime });
    const mailbox = `${toId}<${fromId}`;
    world.unread.set(mailbox, (world.unread.get(mailbox) ?? 0) + 1);
    if (world.here.has(toId)) world.push({ fromId, content: chat, toId, id });
  };
  return world;
}

/** A made-up fingerprint that is always the same for `seed`. */
export const hex = (seed) => createHash("sha256").update(`key ${seed}`).digest("hex");

async function answer(world, request, response) {
  const url = new URL(request.url, "http://agent");
  world.requests.push(`${request.method} ${request.url}`);
  const route = routes[`${request.method} ${url.pathname}`];
  try {
    if (url.pathname === "/api/stream") return stream(world, response);
    if (!route) return await page(url.pathname, response);
    const body = request.method === "POST" ? JSON.parse(await text(request)) : Object.fromEntries(url.searchParams);
    reply(response, 200, { code: 1, msg: "ok", data: (await route(world, body)) ?? null });
  } catch (error) {
    reply(response, error.status ?? 500, { code: 0, msg: error.message, data: null });
  }
}

async function text(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

function reply(response, status, body) {
  response.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(body));
}

function refuse(status, message) {
  throw Object.assign(new Error(message), { status });
}

async function page(path, response) {
  const name = path === "/" ? "index.html" : path === "/users" ? "users.html" : path.startsWith("/chat/") ? "chat.html" : path.replace("/page/", "");
  const type = TYPES[name.split(".").pop()];
  const content = type && !name.includes("/") && (await readFile(PAGES + name).catch(() => null));
  if (!content) return response.writeHead(404).end();
  response.writeHead(200, {
    "Content-Type": `${type}; charset=utf-8`,
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
  });
  response.end(content);
}

function stream(world, response) {
  response.writeHead(200, { "Content-Type": "text/event-stream" });
  response.write(": here\n\n");
  for (const user of world.here) {
    const state = world.links.get(user) ?? "connected";
    response.write(`data: ${JSON.stringify({ type: "link", user, state })}\n\n`);
  }
  world.streams.add(response);
  response.on("close", () => world.streams.delete(response));
}

const named = (world, username) => [...world.accounts.values()].find((account) => account.username === username);

const routes = {
  "POST /api/register"(world, { username, password, repassword }) {
    if (password !== repassword) refuse(400, "两次密码不一致");
    if (named(world, username)) refuse(400, "用户名已存在");
    world.person(username, false).password = password;
  },
  "POST /api/login"(world, { username, password, old_password }) {
    const account = named(world, username);
    if (!account || account.password !== password) refuse(400, "用户名或密码错误");
    const sealedUnder = account.sealedUnder ?? password; // another one if it was changed elsewhere
    if (sealedUnder !== password && sealedUnder !== old_password) refuse(400, "本地密钥无法用此密码打开");
    account.online = true;
    world.here.add(account.id);
    world.push({ type: "online", user: account.id });
    return { token: "t", id: account.id, username };
  },
  "POST /api/logout"(world, { id }) {
    world.here.delete(id);
    if (world.accounts.has(id)) world.accounts.get(id).online = false;
    world.push({ type: "link", user: id, state: "ended" });
  },
  "GET /api/me": (world) => ({
    users: [...world.here].map((id) => ({ id, username: world.accounts.get(id).username })),
    server: world.server,
  }),
  "GET /api/peers": (world, { user }) => ({
    peers: [...world.accounts.values()]
      .filter(({ id }) => id !== Number(user))
      .map(({ password, ...peer }) => ({ ...peer, unread: world.unread.get(`${user}<${peer.id}`) ?? 0 })),
  }),
  "GET /api/fingerprint": (world, { user }) => ({ fingerprint: world.accounts.get(Number(user)).fingerprint }),
  "POST /api/peers/accept"(world, { user, peer, fingerprint }) {
    const account = world.accounts.get(peer);
    if (account.changed?.new !== fingerprint) refuse(400, "指纹不符");
    Object.assign(account, { fingerprint, changed: null, held: 0 });
    world.held.splice(0).forEach((letter) => world.say(...letter));
    world.push({ type: "key_changed", user, peer });
  },
  "POST /api/server/accept"(world, { fingerprint }) {
    if (world.server.changed?.new !== fingerprint) refuse(400, "指纹不符");
    Object.assign(world.server, { fingerprint, changed: null });
  },
  "GET /api/chat/records"(world, { fromId, toId, limit, before }) {
    const [me, peer] = [Number(fromId), Number(toId)];
    world.unread.delete(`${me}<${peer}`);
    const all = world.records.filter(
      (record) =>
        ((record.fromId === me && record.toId === peer) || (record.fromId === peer && record.toId === me)) &&
        (before === undefined || record.id < Number(before)),
    );
    const records = limit ? all.slice(-Number(limit)) : all;
    return { records, next: records.length < all.length ? records[0].id : null };
  },
  async "POST /api/send_message"(world, { from_id, target_id, message }) {
    await new Promise((resolve) => setTimeout(resolve, world.delayMs));
    if (world.refuse) refuse(500, world.refuse);
    const peer = world.accounts.get(target_id);
    if (peer?.changed) {
      world.held.push([from_id, target_id, message]);
      peer.held = world.held.length;
      world.push({ type: "sent", user: from_id, peer: target_id, text: message, held: true });
      return { held: true };
    }
    world.say(from_id, target_id, message);
    world.push({ type: "sent", user: from_id, peer: target_id, text: message });
  },
};

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { url, world } = await startFake(Number(process.argv[2] ?? 5001));
  for (const name of ["ann", "ben", "李雷", "韩梅梅"]) world.person(name);
  console.log(`open ${url}/ and log in as ann, password "secret"`);
}
