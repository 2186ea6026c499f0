"""chat_room: clients of the TCP protocol in one room, and what an idle one costs."""

import json
import subprocess

from . import build, chat8, core, load, machine, requests, servers

# Rising rates, in messages a second by all clients together; the last that is kept up counts.
LADDERS = {
    1: (1000, 3100, 6000, 9000, 12_000, 16_000),
    10: (1000, 3100, 6000, 12_000, 15_000, 18_000),
    100: (100, 1000, 2000, 4000, 6000, 8000),
    1000: (10, 50, 100, 200, 400, 800),
}


def measure(options, directory):
    """Messages a second and time to the last echo by number of clients; memory of idle ones."""
    idle = 200 if options.quick else 4000
    ladders = {size: rates for size, rates in LADDERS.items() if size <= idle}
    disk = machine.fdatasync_ms(build.WORK)
    with servers.sealpost(directory / "room") as server:
        users = register(server, directory, idle)
    # A fresh one: what hashing so many passwords has left behind is not the connections'.
    with servers.sealpost(directory / "room") as server:
        if not server.has_room():
            raise SystemExit("sealpost did not say where its chat room listens")
        core.say(f"{idle} clients log in")
        command = ["rooms", "--address", server.room_address, "--users", users]
        command += ["--password", chat8.PASSWORD]
        # Beside a few, so that what hashing passwords takes is in both.
        few = idle // 8
        with chat8.holding(command, few, "--clients"):
            before = machine.resident_kib(server.pid)
        with chat8.holding(command, idle, "--clients"):
            per_connection = (machine.resident_kib(server.pid) - before) / (idle - few)
            core.say(f"{before} KiB resident with {few}, {per_connection:.1f} for each of the others")
        runs = {size: [] for size in ladders}
        for run in range(options.runs):
            for size, rates in ladders.items():
                name = f"room of {size} run {run + 1}"
                runs[size].append(climb(server, users, size, name, rates, options.seconds))
    steps = {size: [median(each) for each in zip(*climbs)] for size, climbs in runs.items()}
    return {"idle": idle, "idle_kib": per_connection, "fdatasync_ms": disk, "steps": steps}


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


def climb(server, users, size, name, rates, seconds):
    """The reports of the rates, up to the first that was not kept up."""
    command = [build.RELEASE / "rooms", "--address", server.room_address, "--users", users]
    command += ["--password", chat8.PASSWORD, "--clients", size, "--room", name]
    command += ["--seconds", seconds, "--rates", ",".join(map(str, rates))]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    steps = []
    with subprocess.Popen([str(word) for word in command], **pipes) as process:
        process.stdout.readline()
        before = machine.cpu_seconds(server.pid)
        for line in process.stdout:
            now = machine.cpu_seconds(server.pid)
            step = json.loads(line)
            step["server_us"] = (now - before) * 1e6 / max(step["offered"], 1)
            before = now
            core.say(f"room of {size:4}: {step['rate']:8,.0f} of {step['offered_rate']:6,}/s")
            steps.append(step)
        complaints = process.stderr.read().decode()
    if process.returncode != 0:
        raise SystemExit(f"rooms: {complaints}")
    return steps


def median(steps):
    """The same rate in several runs as one; a client lost in any of them is lost."""
    echoes = core.median_of([step["last_echo"] for step in steps])
    names = ("offered_rate", "rate", "server_us")
    figures = core.median_of([{name: step[name] for name in names} for step in steps])
    lost = max(step["lost_clients"] for step in steps)
    return figures | {"last_echo": echoes, "lost_clients": lost}
