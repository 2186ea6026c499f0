"""Two agents and a server: how long a text, a picture and a history take between two people.

All of it goes through the agents' local routes, as their page does. What the page itself takes is
measured in Chromium by page.mjs, where Node and Chromium are there.
"""

import base64
import contextlib
import http.client
import json
import os
import queue
import shutil
import socket
import statistics
import struct
import subprocess
import threading
import time
import zlib

from . import build, core, requests, servers

RATE = 100
TEXT_BYTES = 1024
PICTURE_BYTES = 5 * 2**20
PASSWORD = "correct horse battery staple"
PAGE = build.ROOT / "benches" / "harness" / "page.mjs"
BROWSER = build.ROOT / "tests" / "browser"
# Until an event has come, however slow the machine.
PATIENCE_SECS = 60


def is_built():
    """Whether this build of sealpost has agents."""
    return servers.has_option(build.RELEASE / "sealpost", "--server", "agent")


class Person:
    """Somebody registered and logged in at an agent of their own."""

    def __init__(self, process, name):
        self.name = name
        self.address = process.address
        account = {"username": name, "password": PASSWORD, "repassword": PASSWORD}
        self.call("POST", "/api/register", account)
        self.id = self.call("POST", "/api/login", account)["id"]

    def call(self, method, path, body=None):
        """What one call on a connection of its own is answered with."""
        return requests.Client(self.address).expect(method, path, body)["data"]

    def records(self, peer, limit=None):
        """The path of the history with `peer`."""
        path = f"/api/chat/records?fromId={self.id}&toId={peer.id}"
        return path if limit is None else f"{path}&limit={limit}"


class Writer:
    """A keep-alive connection on which one person writes to another."""

    def __init__(self, person, peer):
        self.person, self.peer = person, peer
        self.connection = http.client.HTTPConnection(person.address, timeout=PATIENCE_SECS)
        self.connection.connect()
        self.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def encode(self, text):
        """The body of a message, made before the clock runs."""
        body = {"from_id": self.person.id, "target_id": self.peer.id, "message": text}
        return json.dumps(body).encode()

    def send(self, body):
        """Sends a body of `encode` and waits for the agent's answer."""
        headers = {"Content-Type": "application/json"}
        self.connection.request("POST", "/api/send_message", body, headers)
        reply = self.connection.getresponse()
        words = reply.read()
        if reply.status != 200:
            raise SystemExit(f"agent: {reply.status} {words[:500]}")


class Stream:
    """The event stream of an agent, read all the time; messages are queued with their instants."""

    def __init__(self, person):
        host, port = person.address.split(":")
        self.socket = socket.create_connection((host, int(port)))
        # HTTP/1.0, so that the events come without chunks around them.
        head = f"GET /api/stream HTTP/1.0\r\nHost: {person.address}\r\n\r\n"
        self.socket.sendall(head.encode())
        self.messages = queue.SimpleQueue()
        self.is_open = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()
        if not self.is_open.wait(PATIENCE_SECS):
            raise SystemExit("agent: the event stream does not open")

    def _read(self):
        pieces = []
        with contextlib.suppress(OSError):
            while piece := self.socket.recv(1 << 20):
                # An event may come in thousands of pieces: look for its end in the last two only.
                edge = pieces[-1][-1:] if pieces else b""
                pieces.append(piece)
                if b"\n\n" in edge + piece:
                    pieces = [self._take(b"".join(pieces))]

    def _take(self, data):
        *blocks, rest = data.split(b"\n\n")
        now = time.perf_counter()
        for block in blocks:
            self.is_open.set()
            event = json.loads(block[6:]) if block.startswith(b"data: ") else {}
            if "content" in event and "type" not in event:
                self.messages.put((now, event["content"]))
        return rest

    def next(self):
        """The next message: when it was there, and its clear text."""
        try:
            return self.messages.get(timeout=PATIENCE_SECS)
        except queue.Empty:
            raise SystemExit("agent: a message did not arrive") from None

    def close(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


def measure(options, directory):
    """Latencies of texts and pictures, the time of a long history, and the page's."""
    count = 1000 if options.quick else 10_000
    home = directory / "agent"
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(servers.sealpost(home / "server"))
        agents = [stack.enter_context(servers.agent(home / name, server)) for name in ("one", "two")]
        anna, ben = Person(agents[0], "anna"), Person(agents[1], "ben")
        result = {"rate": RATE, **live(options, anna, ben)}
        # A pair of its own, so that the history holds what is measured and no picture.
        carl = Person(agents[0], "carl")
        fill(carl, ben, count)
        result["history"] = history(options, ben, carl, count)
        result["page"] = page(options, home, anna, ben, carl)
    return result


def live(options, anna, ben):
    """What Anna writes until it is in Ben's event stream, in clear: texts, then pictures."""
    writer, stream = Writer(anna, ben), Stream(ben)
    # The first message carries the exchange of keys, which is not what is measured.
    deliver(writer, stream, "hello")
    alone, steady = [], []
    for _ in range(options.runs):
        texts = 200 if options.quick else 1000
        alone.append(percentiles([deliver(writer, stream, text()) for _ in range(texts)]))
        steady.append(percentiles(at_a_rate(writer, stream, texts)))
        core.say(f"text {alone[-1]}, at {RATE}/s {steady[-1]}")
    pictures = [deliver(writer, stream, picture()) for _ in range(5 * options.runs)]
    stream.close()
    core.say(f"picture {percentiles(pictures)}")
    return {
        "alone": core.median_of(alone),
        "steady": core.median_of(steady),
        "picture": {
            "count": len(pictures),
            "ms": statistics.median(pictures),
            "slowest_ms": max(pictures),
        },
    }


def deliver(writer, stream, message):
    """Milliseconds from sending a message to its being in the reader's stream."""
    body = writer.encode(message)
    begin = time.perf_counter()
    writer.send(body)
    there, opened = stream.next()
    if opened != message:
        raise SystemExit("agent: another message arrived than was sent")
    return (there - begin) * 1e3


def at_a_rate(writer, stream, count):
    """Latencies of so many texts sent at the steady rate, each from when it was due."""
    messages = [text() for _ in range(count)]
    bodies = [writer.encode(message) for message in messages]
    begin = time.perf_counter() + 0.1
    due = [begin + index / RATE for index in range(count)]
    for at, body in zip(due, bodies):
        time.sleep(max(0, at - time.perf_counter()))
        writer.send(body)
    arrived = [stream.next() for _ in range(count)]
    if [opened for _, opened in arrived] != messages:
        raise SystemExit("agent: messages were lost, or came in another order")
    return [(there - at) * 1e3 for (there, _), at in zip(arrived, due)]


def percentiles(times):
    times = sorted(times)
    last = len(times) - 1
    return {name: times[round(last * share)] for name, share in (("p50_ms", 0.5), ("p99_ms", 0.99))}


def text():
    """A text of 1 KiB, another each time."""
    return base64.b64encode(os.urandom(TEXT_BYTES // 4 * 3)).decode()


def picture():
    """A PNG of 5 MiB that nothing compresses, as the page packs it into a message."""
    width = 1320
    row = 1 + 3 * width
    height = PICTURE_BYTES // row
    noise = bytearray(os.urandom(row * height))
    # Each row begins with its filter: none.
    noise[::row] = bytes(height)

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(noise, 0))
    png = b"\x89PNG\r\n\x1a\n" + head + data + chunk(b"IEND", b"")
    packed = {"sealpost": "file", "name": "noise.png", "type": "image/png", "size": len(png)}
    return json.dumps({**packed, "data": base64.b64encode(png).decode()})


def fill(one, other, count):
    """Lets the two write each other so many texts in turn, and waits until all are kept."""
    writers = [Writer(one, other), Writer(other, one)]
    for index in range(count):
        writer = writers[index % 2]
        writer.send(writer.encode(text()))
    client = requests.Client(one.address)
    deadline = time.monotonic() + PATIENCE_SECS
    while len(client.expect("GET", one.records(other))["data"]["records"]) < count:
        if time.monotonic() > deadline:
            raise SystemExit("agent: the history does not fill")
        time.sleep(1)


def history(options, reader, peer, count):
    """Milliseconds for the whole history and for its newest page, opened."""
    client = requests.Client(reader.address)
    result = {"records": count}
    for name, limit, wanted in (("whole_ms", None, count), ("page_ms", 50, 50)):
        times = []
        for _ in range(3 * options.runs):
            begin = time.perf_counter()
            records = client.expect("GET", reader.records(peer, limit))["data"]["records"]
            times.append((time.perf_counter() - begin) * 1e3)
            if len(records) != wanted or any(len(each["chat"]) != TEXT_BYTES for each in records):
                raise SystemExit("agent: a record is missing or was not opened")
        result[name] = statistics.median(times)
    core.say(f"history {result}")
    return result


def page(options, home, writer, reader, peer):
    """The page of `reader`: its first screen of the long chat, and until a picture is drawn.

    Nothing where Node or Chromium are missing.
    """
    if missing := browser_is_missing():
        core.say(f"agent: {missing}; the page is left out")
        return None
    message = home / "picture.json"
    message.write_text(picture())
    plan = {
        "runs": 3 * options.runs,
        "writer": {"url": f"http://{writer.address}", "id": writer.id},
        "reader": {"url": f"http://{reader.address}", "id": reader.id, "username": reader.name},
        "peer": peer.id,
        "message": str(message),
    }
    command = ["node", PAGE, json.dumps(plan)]
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    if done.returncode != 0:
        raise SystemExit(f"agent: the page: {done.stderr}")
    times = json.loads(done.stdout)
    core.say(f"page {times}")
    return {name: statistics.median(each) for name, each in times.items()}


def browser_is_missing():
    """What the page cannot be measured for; brings playwright-core if only that is missing."""
    for tool in ("node", "npm"):
        if shutil.which(tool) is None:
            return f"{tool} is missing"
    if not os.access(os.environ.get("CHROMIUM", "/usr/bin/chromium"), os.X_OK):
        return "Chromium is missing"
    if (BROWSER / "node_modules" / "playwright-core").is_dir():
        return None
    install = ["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"]
    if subprocess.run(install, cwd=BROWSER, stdout=subprocess.DEVNULL, check=False).returncode:
        return "playwright-core cannot be installed"
    return None
