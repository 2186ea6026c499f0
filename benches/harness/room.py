"""chat_room: clients of the TCP protocol in one room, and what an idle one costs."""

import json
import subprocess

from . import build, chat8, core, load, machine, requests, servers

# Rising rates, in messages a second by all clients together; the last that is kept up counts.
LADDERS = {
    1: (100, 500, 1000, 2000, 3100, 4000, 6000, 8000, 12_000),
    10: (100, 500, 1000, 2000, 3100, 4000, 6000, 8000, 12_000),
    100: (50, 100, 200, 400, 600, 800, 1000, 1500, 2000),
    1000: (5, 10, 20, 30, 40, 60, 80, 100, 150),
}


def measure(options, directory):
    """Messages a second and time to the last echo by number of clients; memory of idle ones."""
    idle = 200 if options.quick else 2000
    ladders = {size: rates for size, rates in LADDERS.items() if size <= idle}
    with servers.sealpost(directory / "room") as server:
        if not server.has_room():
            raise SystemExit("sealpost did not say where its chat room listens")
        users = register(server, directory, idle)
        core.say(f"{idle} clients log in")
        before = machine.resident_kib(server.pid)
        command = ["rooms", "--address", server.room_address, "--users", users]
        command += ["--password", chat8.PASSWORD]
        with chat8.holding(command, idle, "--clients"):
            per_connection = (machine.resident_kib(server.pid) - before) / idle
        steps = {}
        for size, rates in ladders.items():
            steps[size] = climb(server, users, size, rates, options.seconds)
        return {"idle": idle, "idle_kib": per_connection, "steps": steps}


def register(server, directory, count):
    """Accounts made through message_store, whose password hash is the SHA-256."""
    names = [f"guest{number:04}" for number in range(count)]
    entries = []
    for name in names:
        body = {"user_id": name, "password_hash": chat8.SECRET, "public_key": "a public key"}
        entries.append(("register", requests.encode("POST", "/auth/register", body)))
    plan = requests.write_plan(directory / "guests.plan", entries)
    load.complete(server, plan, count, connections=4)
    path = directory / "guests"
    path.write_text("\n".join(names) + "\n")
    return path


def climb(server, users, size, rates, seconds):
    """The reports of the rates, up to the first that was not kept up."""
    command = [build.RELEASE / "rooms", "--address", server.room_address, "--users", users]
    command += ["--password", chat8.PASSWORD, "--clients", size, "--room", f"room of {size}"]
    command += ["--seconds", seconds, "--rates", ",".join(map(str, rates))]
    done = subprocess.run([str(word) for word in command], capture_output=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"rooms: {done.stderr.decode()}")
    steps = [json.loads(line) for line in done.stdout.splitlines()[1:]]
    for step in steps:
        core.say(f"room of {size:4}: {step['rate']:8,.0f} of {step['offered_rate']:6,}/s")
    return steps
