"""chat8: its send and history beside message_store's, its sockets, its uploads.

Each section starts a sealpost of its own with an empty store.
"""

import contextlib
import http.client
import json
import subprocess
import tempfile
import time

from . import build, core, load, machine, requests, servers

PASSWORD = "password"
# What message_store clients send for it: its SHA-256.
SECRET = "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8"
PREFIX = "/api/v1"
MIB = 2**20


class Person:
    """A registered account and the token of its session."""

    def __init__(self, client, name):
        self.name = name
        body = {
            "username": name,
            "email": f"{name}@example.org",
            "password": PASSWORD,
            "confirm_password": PASSWORD,
        }
        data = client.expect("POST", f"{PREFIX}/auth/register", body)["data"]
        self.id, self.token = data["user_id"], data["access_token"]

    def encode(self, method, path, body=None):
        header = f"Authorization: Bearer {self.token}"
        return requests.encode(method, PREFIX + path, body, [header])


@contextlib.contextmanager
def people(directory, count):
    """A fresh server and so many people on it."""
    with servers.sealpost(directory) as server:
        client = requests.Client(server.address)
        yield server, [Person(client, f"person{number:04}") for number in range(count)]


def sends_and_histories(options, directory):
    """The four cells: send and read, through message_store and through chat8, alternately."""
    reports = {}
    with people(directory / "chat8", 40) as (server, everybody):
        plans = plans_of(everybody, directory)
        load.complete(server, plans.pop("fill"), 2000)
        for run in range(options.runs):
            # Reads first: the sends of a run must not lengthen what it reads.
            names = list(plans)
            for name in names if run % 2 == 0 else [*names[1::-1], *names[:1:-1]]:
                report = load.measure(server, plans[name], connections=64, seconds=options.seconds)
                core.say(f"{name:22} {report['rate']:9,.0f}/s")
                reports.setdefault(name, []).append(report)
    return {name: core.median_report(each) for name, each in reports.items()}


def plans_of(everybody, directory):
    """Ten pairs read their hundred messages; the others send each other new ones."""
    readers, senders = everybody[:20], everybody[20:]
    content = "A" * 344
    pairs = [(a, b) for a, b in zip(readers[::2], readers[1::2])]
    both = pairs + [(b, a) for a, b in pairs]

    def chat8_send(a, b):
        body = {"receiver_id": b.id, "content": content, "message_type": "text"}
        return a.encode("POST", "/messages", body | {"is_encrypted": True})

    def store_send(a, b):
        body = {"user_id": a.name, "receiver_id": b.name, "encrypted_content": content}
        return requests.encode("POST", "/messages/send", body)

    def history(a, b):
        return a.encode("GET", f"/messages/{b.id}?page=1&limit=20")

    def inbox(a, _):
        return requests.encode("GET", f"/messages/inbox?user_id={a.name}&limit=20")

    others = list(zip(senders, senders[1:] + senders[:1]))
    plans = {
        "message_store inbox": [inbox(*pair) for pair in both],
        "chat8 history": [history(*pair) for pair in both],
        "message_store send": [store_send(*pair) for pair in others],
        "chat8 send": [chat8_send(*pair) for pair in others],
        "fill": [chat8_send(*pair) for pair in both],
    }
    return {
        name: requests.write_plan(
            directory / f"{name.replace(' ', '-')}.plan",
            [(name.split()[-1], request) for request in entries],
        )
        for name, entries in plans.items()
    }


def socket_paths(directory, persons):
    path = directory / "paths"
    path.write_text("".join(f"/ws/{each.id}?token={each.token}\n" for each in persons))
    return path


def sockets(options, directory):
    """Resident memory of idle sockets, and how a message reaches a thousand live ones."""
    idle = 1000 if options.quick else 10_000
    messages = 100 if options.quick else 1000
    with people(directory / "idle", 100) as (server, everybody):
        paths = socket_paths(directory, everybody)
        before = machine.resident_kib(server.pid)
        with holding(["sockets", "--address", server.address, "--paths", paths], idle):
            per_socket = (machine.resident_kib(server.pid) - before) / idle
    result = {"idle": idle, "idle_kib": per_socket, "live": 1000, "messages": messages}
    for name, stalled in (("fan", 0), ("fan_stalled", 1)):
        with people(directory / name, 2) as (server, (sender, receiver)):
            body = {"receiver_id": receiver.id, "content": "A" * 344, "message_type": "text"}
            entry = ("send", sender.encode("POST", "/messages", body))
            plan = requests.write_plan(directory / "fan.plan", [entry])
            command = ["--paths", socket_paths(directory, [receiver]), "--plan", plan]
            command += ["--connections", 1000, "--messages", messages, "--stalled", stalled]
            result[name] = run_sockets(server, command)
    return result


def run_sockets(server, options):
    command = [build.RELEASE / "sockets", "--address", server.address, *options]
    done = subprocess.run([str(word) for word in command], capture_output=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"sockets: {done.stderr.decode()}\n{server.last_words()}")
    return json.loads(done.stdout.splitlines()[-1])


@contextlib.contextmanager
def holding(command, count, option="--connections"):
    """Holds so many connections open, from when all are until the block ends."""
    command = [build.RELEASE / command[0], *command[1:], option, count]
    with subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE) as process:
        try:
            if process.stdout.readline().split() != [b"open", str(count).encode()]:
                raise SystemExit(f"{command[0]} did not open {count} connections")
            # What opening left behind is given back or settles.
            time.sleep(2)
            yield
        finally:
            process.kill()


def upload(_options, directory):
    """Growth of resident memory while 50 MiB come in, and how fast."""
    size, edge = 50 * MIB, "0123456789abcdef"
    with people(directory / "upload", 2) as (server, (sender, receiver)):
        head = (
            f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="film.bin"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode()
        tail = (
            f'\r\n--{edge}\r\nContent-Disposition: form-data; name="receiver_id"\r\n\r\n'
            f"{receiver.id}\r\n--{edge}--\r\n"
        ).encode()
        with tempfile.TemporaryFile(dir=directory) as file:
            file.write(head)
            for _ in range(size // MIB - 1):
                file.write(b"x" * MIB)
            # The limit is 50 MiB with the form around it left out; one byte less is safe.
            file.write(b"x" * (MIB - 1))
            file.write(tail)
            length = file.tell()
            grown, times = [], []
            for _ in range(3):
                file.seek(0)
                before = machine.resident_kib(server.pid)
                machine.forget_peak(server.pid)
                begin = time.perf_counter()
                post(server, sender, file, length, edge)
                times.append(time.perf_counter() - begin)
                grown.append((machine.resident_kib(server.pid, "VmHWM") - before) / 1024)
    return {"mib": 50, "growth_mib": max(grown), "seconds": sorted(times)[1]}


def post(server, sender, file, length, edge):
    connection = http.client.HTTPConnection(server.address, timeout=120)
    headers = {
        "Authorization": f"Bearer {sender.token}",
        "Content-Type": f"multipart/form-data; boundary={edge}",
        "Content-Length": str(length),
    }
    connection.request("POST", f"{PREFIX}/upload/file", file, headers)
    reply = connection.getresponse()
    text = reply.read()
    if reply.status != 200:
        raise SystemExit(f"upload: {reply.status} {text[:500]}")


def is_served(server):
    """Whether this build of sealpost has the API."""
    status, reply = requests.Client(server.address).call("POST", f"{PREFIX}/auth/login", {})
    return status != 404 and isinstance(reply, dict) and "success" in reply
