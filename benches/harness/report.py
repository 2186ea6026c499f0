"""The Markdown of all results: what was measured, whether the goals are met, every cell."""

from . import live_report, machine
from .tables import cell, goal, power, rate, ratio, size_name, table

TITLES = {
    "send": "Durable send: `POST /messages/send`, on disk before the reply",
    "inbox": "Inbox page of 20: `GET /messages/inbox?user_id=…&limit=20`, received and shared merged",
    "login": "Login: `POST /auth/login`, Argon2id (19 MiB, two passes)",
    "mixed": "Mixed: four inbox pages to one send",
}
SERVERS = {"sealpost": "sealpost", "flask": "Flask", "ceiling": "ceiling"}

INTRODUCTION = """# Benchmarks

`benches/run` builds everything in release, starts each server in a directory of its own on a free
loopback port, fills the stores, measures, and writes this page and the chart. It needs Rust,
Python 3 with pip, and Linux.

```sh
benches/run                                    # everything, on the order of half an hour
benches/run --quick                            # a glance, about two minutes, writes nothing
benches/run --only send,inbox --connections 64 # parts of it
benches/run --ab OLD NEW                       # two sealpost binaries, alternately
```

![Requests per second at 64 connections](benchmarks.svg)

What is compared:

- **sealpost**: as it comes, with its defaults.
- **Flask**: the same nine calls in Flask, SQLAlchemy and SQLite under gunicorn
  (`benches/peers/flask`), as durable as sealpost: WAL, `synchronous=FULL`, a commit before each
  reply. Three keep-alive workers (two and five differ little on two cores); the statements of its
  lists are built once.
- **ceiling**: a Rocket with the same allocator that parses the same JSON, answers about as many
  bytes and stores nothing (`benches/src/bin/ceiling.rs`); its login hashes nothing. What is missing to
  it is the price of storing.

How: contents are 344 bytes (a base64 RSA-2048 block). Keep-alive connections, each with one request
under way; the load generator (`benches/src/bin/load.rs`) runs on the same cores and costs about
7 µs a request when it is kept busy, more when it waits. All servers run throughout and the cells
alternate between them, in reverse order every other run; figures are medians over the runs. The
store of 10³ messages is fresh in each run (sends make it grow meanwhile); the large one has as many
users, 40 unless `--users` says otherwise. Every tenth message is shared with one more user. sealpost
is filled through its API, Flask through its models. Errors are answers other than 2xx, and broken
connections; rates count only the good ones. *server µs* is processor time of the server per request,
which a busy machine disturbs least.

Durable figures depend on the disk: first and before each run the median of a synced write of 4 KiB
is taken, and above 0.25 ms ratios of durable sends are not to be judged.

What is live has parts of its own, each with a fresh server: chat8's send and history beside
message_store's (`--only chat8`), ten thousand idle WebSockets and a message to a thousand live
ones (`sockets`), an upload of 50 MiB (`upload`), rooms over TCP with up to a thousand clients
(`room`), and two agents who write to each other through a server, with their page in Chromium
(`agent`).

[performance.md](performance.md) says what bounds each, and what was tried.
"""


def page(figures):
    """The page for readers: what is measured and how, then the figures."""
    return INTRODUCTION + "\n" + figures


def figures(results):
    """Goals, all cells, and what else was measured."""
    parts = [measured_on(results)]
    core = results.get("core")
    if core:
        parts += [goals(core), *(cells(core, kind) for kind in TITLES), others(core)]
    parts.append(live_report.markdown(results))
    return "\n".join(part for part in parts if part)


def measured_on(results):
    text = f"Measured {results['measured']} on {results['machine']}; "
    return text + f"medians of {results['runs']} runs of {results['seconds']:g} s a cell.\n"


def connections_of(core, kind):
    return sorted({int(key.split()[1]) for key in core["cells"] if key.split()[0] == kind})


def cells(core, kind):
    """The table of one kind of request: a row for each server and number of connections."""
    rows = []
    for connections in connections_of(core, kind):
        for key, report in core["cells"].items():
            if key.split()[:2] != [kind, str(connections)]:
                continue
            server, size = key.split()[2:]
            rows.append((connections, *row(core, kind, connections, server, size, report)))
    if not rows:
        return ""
    rows.sort(key=lambda row: (row[0], list(SERVERS.values()).index(row[1]), row[2]))
    header = ["connections", "server", "store", "requests/s", "p50 ms", "p99 ms", "errors"]
    header += ["server µs", "× Flask", "of ceiling"]
    return f"## {TITLES[kind]}\n\n" + table(header, rows)


def row(core, kind, connections, server, size, report):
    # Of a mix, sends are the slower half: theirs are the latencies worth knowing.
    timed = "send" if kind == "mixed" else kind
    flask = rate(core, kind, connections, "flask", size)
    flask = flask or rate(core, kind, connections, "flask")
    ceiling = rate(core, kind, connections, "ceiling")
    ours = server == "sealpost"
    return (
        SERVERS[server],
        "–" if server == "ceiling" else size_name(core, size),
        f"{report['rate']:,.0f}",
        f"{report[f'{timed}_p50_ms']:.2f}",
        f"{report[f'{timed}_p99_ms']:.2f}",
        f"{report['errors']:.0f}",
        f"{report['server_us']:.1f}",
        f"{report['rate'] / flask:.1f}" if ours and flask else "",
        f"{report['rate'] / ceiling:.2f}" if ours and ceiling else "",
    )


def goals(core):
    """Each goal, what was measured, and whether it is met."""
    probe = core["fdatasync_ms"]
    text = f"The disk takes {probe:.3f} ms for a synced write of 4 KiB (median), "
    text += f"{core['lone_commit_ms']:.3f} ms for a lone synced commit. "
    judged = probe <= machine.JUDGED_BELOW_MS
    if not judged:
        text += f"**Above {machine.JUDGED_BELOW_MS} ms: durable ratios are not to be judged.** "
    rows = [row for row in goal_rows(core, judged) if row]
    if not rows:
        return text + "\n"
    header = ["goal, at 64 connections unless said", "goal", "measured", "met"]
    return text + "\n\n## Goals\n\n" + table(header, rows)


def goal_rows(core, judged):
    large = size_name(core, "large")
    for kind, times, share in (("send", 38, 0.40), ("inbox", 16, 0.45)):
        ours = rate(core, kind, 64, "sealpost")
        flask = ratio(ours, rate(core, kind, 64, "flask"))
        ceiling = ratio(ours, rate(core, kind, 64, "ceiling"))
        grown = ratio(rate(core, kind, 64, "sealpost", "large"), ours)
        sure = judged or kind != "send"
        yield goal(f"{kind}: against Flask, 10³", "≥", times, flask, "×", sure)
        yield goal(f"{kind}: against the ceiling, 10³", "≥", share, ceiling, "", sure)
        yield goal(f"{kind}: {large} against 10³", "≥", 0.9, grown, "", sure)
    inbox = ratio(rate(core, "inbox", 256, "sealpost"), rate(core, "inbox", 64, "sealpost"))
    yield goal("inbox: 256 connections against 64", "≥", 0.85, inbox)
    alone = cell(core, "send", 1, "sealpost", "small")
    if alone:
        lone = alone["send_p50_ms"] / core["lone_commit_ms"]
        yield goal("send p50 at 1 connection, of a lone commit", "≤", 1.5, lone, "×", judged)
    for connections in (64, 256):
        for size in ("small", "large"):
            send = cell(core, "send", connections, "sealpost", size)
            name = f"send p99 at {connections} connections, {size_name(core, size)}"
            yield goal(name, "<", 25, send and send["send_p99_ms"], " ms", judged)
    if core["hashes_per_second"]:
        login = ratio(rate(core, "login", 64, "sealpost"), core["hashes_per_second"])
        yield goal("login: of hashing alone", "≥", 0.9, login)
        beside = core["sends_beside_logins"]
        grown = beside["beside_p99_ms"] / beside["alone_p99_ms"]
        yield goal("p99 of sends beside logins, of alone", "≤", 2, grown, "×", judged)
    resident = core["resident_mib"]["sealpost large"]
    yield goal(f"resident after the load, {large}", "<", 64, resident, " MiB")
    yield goal(f"start to first answer, {large}", "<", 500, core["start_ms"], " ms")
    stream = core["stream"]
    name = f"growth while streaming an inbox of {power(stream['messages'])}"
    yield goal(name, "<", 16, stream["growth_mib"], " MiB")


def others(core):
    """Memory, start, logins beside sends."""
    rows = [
        [SERVERS[name.split()[0]], size_name(core, name.split()[1]), f"{mib:.1f}"]
        for name, mib in core["resident_mib"].items()
    ]
    for row in rows:
        if row[0] == "ceiling":
            row[1] = "–"
    text = "## Memory and start\n\n" + table(
        ["server", "store", "resident MiB after the load"], rows
    )
    stream = core["stream"]
    text += (
        f"\n- Filling the store of {size_name(core, 'large')} through the API: "
        f"{core['fill_rate']:,.0f} sends/s.\n"
        f"- Start of sealpost on it, to the first inbox page: {core['start_ms']:.0f} ms.\n"
        f"- Streaming an inbox of {power(stream['messages'])} ({stream['mib']:.0f} MiB in "
        f"{stream['seconds']:.1f} s): {stream['before_mib']:.1f} MiB resident grow by "
        f"{stream['growth_mib']:.1f} MiB.\n"
    )
    if beside := core["sends_beside_logins"]:
        text += (
            f"- Argon2id alone on all cores: {core['hashes_per_second']:.0f} hashes/s. "
            f"Sends at 64 connections: {beside['alone_rate']:,.0f}/s, p99 "
            f"{beside['alone_p99_ms']:.1f} ms; with 16 connections logging in "
            f"({beside['logins_rate']:.0f}/s) {beside['beside_rate']:,.0f}/s, p99 "
            f"{beside['beside_p99_ms']:.1f} ms.\n"
        )
    return text
