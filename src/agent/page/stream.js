// The live events of the agent, shared by all tabs of this browser.
//
// A browser opens at most six connections to one host, and an event stream holds one for good;
// so one tab, whoever holds the lock, keeps the stream and hands its events to the others.
// When that tab closes, the next one takes over and everybody hears "open" and catches up.

const channel = new BroadcastChannel("sealpost.stream");
const listeners = new Set();
const links = new Map(); // user id → last known state of the agent's link for that user
let leading = false;
let up = null; // null until known, then whether the stream to the agent is open

/**
 * Calls `listener` with every event: the agent's own, and `{type: "stream", up}`.
 * What is already known to be away is told at once, as if it had just happened.
 */
export function listen(listener) {
  listeners.add(listener);
  queueMicrotask(() => {
    if (up === false) listener({ type: "stream", up });
    links.forEach((state, user) => listener({ type: "link", user, state }));
  });
  return () => listeners.delete(listener);
}

/** Resolves once the stream is open, or after `patience` ms, so that a page never waits for long. */
export function opened(patience) {
  if (up) return Promise.resolve();
  return new Promise((resolve) => {
    const stop = listen((event) => event.type === "stream" && event.up && done());
    const timer = setTimeout(done, patience);
    function done() {
      clearTimeout(timer);
      stop();
      resolve();
    }
  });
}

function deliver(event) {
  if (event.type === "stream") up = event.up;
  if (event.type === "link") {
    if (event.state === "ended") links.delete(event.user);
    else links.set(event.user, event.state);
  }
  listeners.forEach((listener) => listener(event));
}

function spread(event) {
  channel.postMessage(event);
  deliver(event);
}

function lead() {
  leading = true;
  connect();
  return new Promise(() => {}); // The lock is held until this tab goes away.
}

function connect() {
  const source = new EventSource("/api/stream");
  source.onopen = () => spread({ type: "stream", up: true });
  source.onmessage = ({ data }) => {
    try {
      const event = JSON.parse(data);
      if (event && typeof event === "object") spread(event);
    } catch {
      // Local programs may push anything; what is not JSON is not for us.
    }
  };
  source.onerror = () => {
    spread({ type: "stream", up: false });
    if (source.readyState !== EventSource.CLOSED) return;
    setTimeout(connect, 2000); // The browser gave up: an answer that was no stream.
  };
}

channel.onmessage = ({ data }) => {
  const knownAlready = data.answer && data.up === up;
  if (data.type !== "hello") return knownAlready || deliver(data);
  if (!leading) return;
  if (up !== null) channel.postMessage({ type: "stream", up, answer: true });
  links.forEach((state, user) => channel.postMessage({ type: "link", user, state }));
};

/** Starts listening; call it once, after the first listeners are in place. */
export function start() {
  channel.postMessage({ type: "hello" });
  if (navigator.locks) navigator.locks.request("sealpost.stream", lead);
  else lead();
}
