"""Arguments, the order of the sections, and where the results go."""

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

from . import ab, agent, build, chart, chat8, core, machine, report, room, servers, stores

CORE = list(core.KINDS)
# Beyond the core, each with a server of its own.
SECTIONS = {
    "chat8": chat8.sends_and_histories,
    "sockets": chat8.sockets,
    "upload": chat8.upload,
    "room": room.measure,
    "agent": agent.measure,
}


def parse():
    """The options; `--quick` only changes their defaults."""
    parser = argparse.ArgumentParser(prog="benches/run", description="Measure sealpost.")
    parser.add_argument("--quick", action="store_true", help="one short run each, writes nothing")
    parser.add_argument("--only", type=words, help=f"of {','.join([*CORE, *SECTIONS])}")
    parser.add_argument("--connections", type=numbers, help="such as 64 or 1,16,64,256")
    parser.add_argument("--seconds", type=float, help="per cell and run (3)")
    parser.add_argument("--runs", type=int, help="alternating runs (3)")
    parser.add_argument("--messages", type=int, help="in the large store (1000000)")
    parser.add_argument("--users", type=int, help=f"in both stores ({stores.USERS})")
    parser.add_argument("--skip-flask", action="store_true")
    parser.add_argument("--skip-build", action="store_true", help="measure what is built")
    parser.add_argument("--ab", nargs=2, type=Path, metavar=("OLD", "NEW"))
    options = parser.parse_args()
    options.partial = bool(options.quick or options.connections or options.skip_flask)
    quick = options.quick
    options.only = options.only or [*CORE, *SECTIONS]
    options.connections = options.connections or ([1, 64] if quick else [1, 16, 64, 256])
    options.seconds = options.seconds or (1.5 if quick else 3.0)
    options.runs = options.runs or (1 if quick else 3)
    options.users = options.users or stores.USERS
    options.messages = options.messages or (100_000 if quick or options.ab else 1_000_000)
    if unknown := set(options.only) - {*CORE, *SECTIONS}:
        parser.error(f"--only knows {', '.join([*CORE, *SECTIONS])}, not {', '.join(unknown)}")
    return options


def words(text):
    return text.split(",")


def numbers(text):
    return [int(word) for word in text.split(",")]


def served(options, directory):
    """The sections that are asked for and that this build of sealpost can answer."""
    wanted = [name for name in SECTIONS if name in options.only]
    if not wanted:
        return []
    with servers.sealpost(directory / "probe") as server:
        has = {"chat8": chat8.is_served(server), "room": server.has_room()}
    has["agent"] = agent.is_built()
    has["sockets"] = has["upload"] = has["chat8"]
    for name in wanted:
        if not has[name]:
            core.say(f"{name}: not in this build, left out")
    return [name for name in wanted if has[name]]


def main():
    """Measures what is asked for and prints it; unless it was partial, docs/ has it too then."""
    options = parse()
    if not options.skip_build:
        build.binaries()
    build.WORK.mkdir(parents=True, exist_ok=True)
    # Ten thousand sockets are as many open files, here and in the server.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    # Beside the build, not in /tmp: that may be memory, on which nothing needs syncing.
    with tempfile.TemporaryDirectory(dir=build.WORK, prefix="data-") as name:
        directory = Path(name)
        if options.ab:
            ab.compare(*options.ab, options, directory)
            return 0
        results = {
            "measured": time.strftime("%Y-%m-%d", time.gmtime()),
            "machine": machine.description(),
            "runs": options.runs,
            "seconds": options.seconds,
        }
        if any(kind in options.only for kind in CORE):
            results["core"] = core.measure(options, directory)
        for name in served(options, directory):
            core.say(name)
            results[name] = SECTIONS[name](options, directory)
    print(report.figures(results))
    if not options.partial:
        write_pages(results, is_core_whole=set(CORE) <= set(options.only))
    return 0


def write_pages(results, is_core_whole):
    """Writes docs/ from the newest figures of each part, once there are some of all parts."""
    saved = build.WORK / "results.json"
    known = json.loads(saved.read_text()) if saved.exists() else {}
    if not is_core_whole:
        results.pop("core", None)
    known |= results
    saved.write_text(json.dumps(known, indent=1))
    if {"core", *SECTIONS} <= set(known):
        docs = build.ROOT / "docs"
        docs.mkdir(exist_ok=True)
        (docs / "benchmarks.md").write_text(report.page(report.figures(known)))
        (docs / "benchmarks.svg").write_text(chart.svg(known["core"]))
