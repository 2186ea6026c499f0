"""Two sealpost binaries against each other: send and inbox at 64 connections, in turn."""

import statistics

from . import load, machine, servers, stores
from .core import say

KINDS = ("inbox", "send")


def compare(first, second, options, directory):
    """Prints the medians of both and their ratio."""
    rates = {}
    connections = options.connections[0] if len(options.connections) == 1 else 64
    running, plans = {}, {}
    for name, binary in (("A", first), ("B", second)):
        store = stores.Store(directory / name, options.messages, options.users)
        plans[name] = {kind: store.plan(kind) for kind in KINDS}
        say(f"filling {name} with {options.messages:,} messages")
        running[name] = servers.sealpost(directory / name / "data", binary, name)
        store.fill(running[name])
    try:
        for run in range(options.runs):
            for kind in KINDS:
                for name in ("AB", "BA")[run % 2]:
                    report = load.measure(
                        running[name],
                        plans[name][kind],
                        connections=connections,
                        seconds=options.seconds,
                    )
                    rates.setdefault((kind, name), []).append(report)
                    say(f"{kind:6} {name} {report['rate']:9,.0f}/s")
        print(f"A = {first}\nB = {second}\nfdatasync {machine.fdatasync_ms(directory):.3f} ms")
        print(f"{'':6} {'':2} {'requests/s':>11} {'p99 ms':>8} {'server us':>10} {'B/A':>6}")
        for kind in KINDS:
            base = None
            for name in "AB":
                reports = rates[kind, name]
                rate = statistics.median(report["rate"] for report in reports)
                p99 = statistics.median(report["kinds"][kind]["p99_ms"] for report in reports)
                cpu = statistics.median(report["server_us"] for report in reports)
                base = base or rate
                ratio = f"{rate / base:6.3f}" if name == "B" else ""
                print(f"{kind:6} {name:2} {rate:11,.0f} {p99:8.2f} {cpu:10.1f} {ratio:>6}")
        for name, server in running.items():
            print(f"{name} resident {server.resident_mib():.1f} MiB")
    finally:
        for server in running.values():
            server.stop()
