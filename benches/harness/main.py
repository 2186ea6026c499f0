"""Arguments, the order of the sections, and where the results go."""

import argparse
import json
import tempfile
import time
from pathlib import Path

from . import ab, build, chart, core, machine, report

CORE = list(core.KINDS)


def parse():
    """The options; `--quick` only changes their defaults."""
    parser = argparse.ArgumentParser(prog="benches/run", description="Measure sealpost.")
    parser.add_argument("--quick", action="store_true", help="one short run each, writes nothing")
    parser.add_argument("--only", type=words, help=f"of {','.join(CORE)}")
    parser.add_argument("--connections", type=numbers, help="such as 64 or 1,16,64,256")
    parser.add_argument("--seconds", type=float, help="per cell and run (3)")
    parser.add_argument("--runs", type=int, help="alternating runs (3)")
    parser.add_argument("--messages", type=int, help="in the large store (1000000)")
    parser.add_argument("--skip-flask", action="store_true")
    parser.add_argument("--skip-build", action="store_true", help="measure what is built")
    parser.add_argument("--ab", nargs=2, type=Path, metavar=("OLD", "NEW"))
    options = parser.parse_args()
    options.partial = bool(options.quick or options.connections or options.skip_flask)
    quick = options.quick
    options.only = options.only or CORE
    options.connections = options.connections or ([1, 64] if quick else [1, 16, 64, 256])
    options.seconds = options.seconds or (1.5 if quick else 3.0)
    options.runs = options.runs or (1 if quick else 3)
    options.messages = options.messages or (100_000 if quick or options.ab else 1_000_000)
    if unknown := set(options.only) - set(CORE):
        parser.error(f"--only knows {', '.join(CORE)}, not {', '.join(unknown)}")
    return options


def words(text):
    return text.split(",")


def numbers(text):
    return [int(word) for word in text.split(",")]


def main():
    """Measures what is asked for and prints it; a full run also writes docs/."""
    options = parse()
    if not options.skip_build:
        build.binaries()
    build.WORK.mkdir(parents=True, exist_ok=True)
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
    (build.WORK / "results.json").write_text(json.dumps(results, indent=1))
    text = report.markdown(results)
    print(text)
    if not options.partial and set(CORE) <= set(options.only):
        docs = build.ROOT / "docs"
        docs.mkdir(exist_ok=True)
        (docs / "benchmarks.md").write_text(text)
        (docs / "benchmarks.svg").write_text(chart.svg(results["core"]))
    return 0
