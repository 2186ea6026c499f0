// The agent's local API as functions. Every refusal is an ApiError with the agent's own text.
// It keeps no state but the acting user of this tab.

import { language, t } from "./i18n.js";
import { meaning } from "./refusals.js";

/** Under this and two ids a tab keeps what is written and not sent. */
export const DRAFT = "sealpost.draft.";

/** What the agent refused: `status` is 0 when it did not answer at all. */
export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function call(path, body) {
  const options = body === undefined ? {} : post(body);
  let response;
  try {
    response = await fetch(path, { cache: "no-store", ...options });
  } catch {
    throw new ApiError(0, "");
  }
  const reply = await response.json().catch(() => null);
  return unwrap(response.status, reply);
}

function post(body) {
  return { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
}

function unwrap(status, reply) {
  if (reply?.code !== 1) throw new ApiError(status, reply?.msg ?? "");
  return reply.data;
}

export const login = (username, password, old_password) =>
  call("/api/login", { username, password, old_password });
export const register = (username, password, repassword) =>
  call("/api/register", { username, password, repassword });
export const logout = (id) => call("/api/logout", { id });
export const whoIsHere = () => call("/api/me");
export const listPeers = (user) => call(`/api/peers?user=${user}`);
export const ownFingerprint = (user) => call(`/api/fingerprint?user=${user}`);
export const acceptPeerKey = (user, peer, fingerprint) =>
  call("/api/peers/accept", { user, peer, fingerprint });
export const acceptServerKey = (fingerprint) => call("/api/server/accept", { fingerprint });
export const publishOwnKey = (user, fingerprint) => call("/api/publish_key", { user, fingerprint });

/** One page of the history with `peer`, oldest first; `before` pages backwards. */
export function records(user, peer, limit, before) {
  const query = new URLSearchParams({ fromId: user, toId: peer, limit });
  if (before !== undefined) query.set("before", before);
  return call(`/api/chat/records?${query}`);
}

/** Sends `message`; `onProgress` hears the share (0 to 1) the agent has taken over so far. */
export function sendMessage(from, to, message, onProgress = () => {}) {
  // fetch cannot report how much of a body is sent; XMLHttpRequest can.
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", "/api/send_message");
    request.setRequestHeader("Content-Type", "application/json");
    request.responseType = "json";
    request.upload.onprogress = (event) => {
      if (event.lengthComputable) onProgress(event.loaded / event.total);
    };
    request.onerror = () => reject(new ApiError(0, ""));
    request.onload = () => {
      try {
        resolve(unwrap(request.status, request.response));
      } catch (error) {
        reject(error);
      }
    };
    request.send(JSON.stringify({ from_id: from, target_id: to, message }));
  });
}

/** Whether the keys on this computer are sealed with another password than the one given. */
export const keysAreLocked = (error) =>
  error instanceof ApiError && meaning(error.message)?.key === "errKeysLocked";

/** What went wrong, in the reader's language where the text is known. */
export function explain(error) {
  if (!(error instanceof ApiError)) return t("errOther");
  if (error.status === 0) return t("errOffline");
  if (keysAreLocked(error)) return t("errKeysLocked");
  if (language() === "zh" && error.message) return error.message;
  const known = meaning(error.message);
  return known ? t(known.key, known.fill) : error.message || t("errOther");
}

/** The acting user of this tab, `{ id, username }`, or null. */
export function actingUser() {
  const id = Number(sessionStorage.getItem("sealpost.id"));
  return id ? { id, username: sessionStorage.getItem("sealpost.username") ?? "" } : null;
}

/** Makes `user` the acting user of this tab, or nobody; no draft of anybody else is left. */
export function actAs(user) {
  if (user) {
    sessionStorage.setItem("sealpost.id", user.id);
    sessionStorage.setItem("sealpost.username", user.username);
  } else {
    sessionStorage.removeItem("sealpost.id");
    sessionStorage.removeItem("sealpost.username");
  }
  const drafts = Object.keys(sessionStorage).filter((name) => name.startsWith(DRAFT));
  const others = drafts.filter((name) => !user || !name.startsWith(`${DRAFT}${user.id}.`));
  others.forEach((name) => sessionStorage.removeItem(name));
}
