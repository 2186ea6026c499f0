"""message_store: sealpost beside Flask and beside a Rocket that stores nothing.

Every cell is one kind of request at one number of connections against one server. All servers run
throughout; the cells alternate between them, so that what the machine does besides hits all alike.
Small stores are fresh in every run; the large ones are filled once and only grow.
"""

import contextlib
import json
import shutil
import statistics
import subprocess
import sys
import time

from . import build, load, machine, requests, servers, stores

KINDS = ("send", "inbox", "login", "mixed")
SMALL, LARGE = "small", "large"


def measure(options, directory):
    """All cells and the figures about memory and start; a dictionary for the report."""
    bench = Bench(options, directory)
    probe_disk(directory)
    bench.prepare()
    result = {
        "large_messages": options.messages,
        "cells": {},
        "hashes_per_second": hashes_per_second(options.seconds) if "login" in bench.kinds else None,
        "fill_rate": bench.fill_rate,
    }
    beside, probes = [], []
    for run in range(options.runs):
        probes.append(probe_disk(directory))
        with bench.all_servers(run) as running:
            for key, report in bench.cells(running, backwards=run % 2 == 1):
                result["cells"].setdefault(key, []).append(report)
            if "login" in bench.kinds:
                beside.append(bench.sends_beside_logins(running["sealpost", SMALL]))
            memory = {" ".join(name): server.resident_mib() for name, server in running.items()}
    result["cells"] = {key: median_report(reports) for key, reports in result["cells"].items()}
    result |= median_of(probes)
    result["sends_beside_logins"] = median_of(beside) if beside else None
    result["resident_mib"] = memory
    result |= start_and_stream(bench)
    return result


def probe_disk(directory):
    """How fast the disk is now, and a word if it is too slow to judge by."""
    synced = machine.fdatasync_ms(directory)
    say(f"a synced write of 4 KiB takes {synced:.3f} ms")
    if synced > machine.JUDGED_BELOW_MS:
        say(f"above {machine.JUDGED_BELOW_MS} ms: durable ratios are not to be judged")
    return {"fdatasync_ms": synced, "lone_commit_ms": machine.lone_commit_ms(directory)}


class Bench:
    """What is measured, and the filled directories it starts from."""

    def __init__(self, options, directory):
        self.options = options
        self.directory = directory
        self.kinds = [kind for kind in KINDS if kind in options.only]
        self.python = None if options.skip_flask else build.python_for_flask()
        self.stores = {
            SMALL: stores.Store(directory / SMALL, 1000, options.users),
            LARGE: stores.Store(directory / LARGE, options.messages, options.users),
        }
        self.fill_rate = None

    def prepare(self):
        """Fills a small and a large store for each server that keeps any."""
        self.plans = {
            size: {kind: store.plan(kind) for kind in KINDS} for size, store in self.stores.items()
        }
        for size, store in self.stores.items():
            say(f"filling a store of {store.messages:,} messages")
            hoard = store.messages // 10 if size == LARGE else 0
            with servers.sealpost(store.directory / "sealpost") as server:
                self.fill_rate = store.fill(server, hoard)["rate"]
            if self.python:
                store.fill_flask(store.directory / "flask", self.python)

    @contextlib.contextmanager
    def all_servers(self, run):
        """Every server, by name and size of its store; the small stores are fresh copies."""
        with contextlib.ExitStack() as stack:
            running = {}
            for size, store in self.stores.items():
                base = store.directory
                if size == SMALL:
                    base = self.directory / f"run{run}"
                    for name in ("sealpost", "flask")[: 2 if self.python else 1]:
                        shutil.copytree(store.directory / name, base / name)
                enter = stack.enter_context
                running["sealpost", size] = enter(servers.sealpost(base / "sealpost"))
                if self.python:
                    running["flask", size] = enter(servers.flask(base / "flask", self.python))
            running["ceiling", SMALL] = stack.enter_context(servers.ceiling())
            yield running

    def cells(self, running, backwards):
        """Measures each cell once; pairs of its key and its report."""
        names = list(running)
        if backwards:
            names.reverse()
        # Reads before what makes the stores grow.
        for kind in sorted(self.kinds, key=("inbox", "login", "mixed", "send").index):
            for connections in self.options.connections:
                for server, size in names:
                    if self.is_left_out(kind, server, size):
                        continue
                    report = load.measure(
                        running[server, size],
                        self.plans[size][kind],
                        connections=connections,
                        seconds=self.options.seconds,
                    )
                    say(f"{kind:6} {connections:4} {server:8} {size:5} {report['rate']:9,.0f}/s")
                    yield f"{kind} {connections} {server} {size}", report

    def is_left_out(self, kind, server, size):
        """What would only repeat another cell: logins do not touch messages."""
        return size == LARGE and (kind == "login" or (kind == "mixed" and server == "flask"))

    def sends_beside_logins(self, server):
        """p99 of sends alone, and while sixteen connections log in."""
        plans = self.plans[SMALL]
        options = {"connections": 64, "seconds": self.options.seconds}
        alone = load.measure(server, plans["send"], **options)
        logins = load.command(
            server, plans["login"], connections=16, seconds=self.options.seconds + 1
        )
        with subprocess.Popen(logins, stdout=subprocess.PIPE) as process:
            beside = load.measure(server, plans["send"], **options)
            during = json.loads(process.communicate()[0])
        return {
            "alone_p99_ms": alone["kinds"]["send"]["p99_ms"],
            "beside_p99_ms": beside["kinds"]["send"]["p99_ms"],
            "alone_rate": alone["rate"],
            "beside_rate": beside["rate"],
            "logins_rate": during["rate"],
        }


def start_and_stream(bench):
    """Time from starting on the large store to the first answer; growth while streaming."""
    directory = bench.stores[LARGE].directory / "sealpost"
    times = []
    for _ in range(5):
        begin = time.perf_counter()
        with servers.sealpost(directory) as server:
            requests.Client(server.address).expect(
                "GET", "/messages/inbox?user_id=user0001&limit=20"
            )
            times.append(time.perf_counter() - begin)
            before = server.resident_mib()
            machine.forget_peak(server.pid)
            read, seconds = stream_inbox(server)
            peak = machine.resident_kib(server.pid, "VmHWM") / 1024
    return {
        "start_ms": statistics.median(times) * 1e3,
        "stream": {
            "messages": bench.stores[LARGE].messages // 10,
            "mib": read / 2**20,
            "seconds": seconds,
            "before_mib": before,
            "growth_mib": peak - before,
        },
    }


def stream_inbox(server):
    """Reads the large mailbox whole: bytes and seconds."""
    client = requests.Client(server.address)
    begin = time.perf_counter()
    client.connection.request("GET", f"/messages/inbox?user_id={stores.HOARDER}")
    reply = client.connection.getresponse()
    if reply.status != 200:
        raise SystemExit(f"streaming an inbox: {reply.status} {reply.read(500)}")
    total, tail = 0, b""
    while piece := reply.read(1 << 16):
        total += len(piece)
        tail = (tail + piece)[-20:]
    if b"success" not in tail:
        raise SystemExit("streaming an inbox: it was cut short")
    return total, time.perf_counter() - begin


def hashes_per_second(seconds):
    """What Argon2id alone reaches on all cores."""
    done = subprocess.run(
        [build.RELEASE / "hashing", "--seconds", str(seconds)], capture_output=True, check=True
    )
    return json.loads(done.stdout)["rate"]


def median_report(reports):
    """The median of each figure over the runs; latencies of the kinds are flattened."""
    flat = []
    for report in reports:
        figures = {name: report[name] for name in ("rate", "errors", "cpu_us", "server_us")}
        for kind, summary in report["kinds"].items():
            figures |= {f"{kind}_{name}": summary[name] for name in ("p50_ms", "p99_ms")}
        flat.append(figures)
    return median_of(flat) | {"rates": [report["rate"] for report in reports]}


def median_of(dictionaries):
    first = dictionaries[0]
    return {name: statistics.median(each[name] for each in dictionaries) for name in first}


def say(text):
    """Progress, for whoever waits."""
    print(text, file=sys.stderr, flush=True)
