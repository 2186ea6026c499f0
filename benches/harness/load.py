"""Calls the load generator and adds what the server spent meanwhile."""

import json
import subprocess

from . import build, machine


def command(server, plan, **options):
    words = [build.RELEASE / "load", "--address", server.address, "--plan", plan]
    for name, value in options.items():
        words += [f"--{name}", value]
    return [str(word) for word in words]


def measure(server, plan, **options):
    """The generator's report, plus `server_us`: processor time of the server per request."""
    before = machine.cpu_seconds(server.pid)
    done = subprocess.run(command(server, plan, **options), capture_output=True, check=False)
    if done.returncode != 0:
        words = f"load on {server.name}: {done.stderr.decode()}"
        raise SystemExit(f"{words}\n{server.last_words()}")
    report = json.loads(done.stdout)
    spent = machine.cpu_seconds(server.pid) - before
    report["server_us"] = spent * 1e6 / max(report["answered"], 1)
    return report


def complete(server, plan, count, connections=64):
    """Makes exactly `count` requests, all of which must succeed; the report."""
    report = measure(server, plan, connections=connections, count=count)
    if report["errors"]:
        raise SystemExit(
            f"preparing {server.name}: {report['statuses']}, {report['broken']} broken"
        )
    return report
