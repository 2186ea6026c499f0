"""The Markdown of what is live: chat8, its sockets and uploads, the TCP rooms, the agents."""

from .tables import goal, table


def markdown(results):
    """One part for each section that was measured; nothing without any."""
    sections = {"chat8": chat8, "sockets": sockets, "upload": upload, "room": room, "agent": agent}
    return "\n".join(write(results[name]) for name, write in sections.items() if name in results)


def goals(*rows):
    return table(["goal", "goal", "measured", "met"], [row for row in rows if row])


def chat8(cells):
    rows = [
        [
            name,
            f"{report['rate']:,.0f}",
            f"{report[name.split()[-1] + '_p50_ms']:.2f}",
            f"{report[name.split()[-1] + '_p99_ms']:.2f}",
            f"{report['errors']:.0f}",
            f"{report['server_us']:.1f}",
        ]
        for name, report in cells.items()
    ]
    header = ["64 connections", "requests/s", "p50 ms", "p99 ms", "errors", "server µs"]

    def share(ours, theirs):
        return cells[ours]["rate"] / cells[theirs]["rate"]

    met = goals(
        goal(
            "chat8 send, of message_store's", "≥", 0.85, share("chat8 send", "message_store send")
        ),
        goal(
            "chat8 history of 20, of message_store's inbox",
            "≥",
            0.85,
            share("chat8 history", "message_store inbox"),
        ),
    )
    return f"## chat8 beside message_store\n\n{table(header, rows)}\n{met}"


def sockets(result):
    fan, stalled = result["fan"], result["fan_stalled"]
    rows = [
        [
            name,
            f"{each['reply']['p50_ms']:.2f}",
            f"{each['last_after_reply']['p50_ms']:.2f}",
            f"{each['last_after_reply']['p99_ms']:.2f}",
            each["lost"],
        ]
        for name, each in (("all read", fan), ("one more never reads", stalled))
    ]
    live = f"{result['live']:,} live sockets, {result['messages']:,} messages"
    header = [live, "reply p50 ms", "last after reply p50 ms", "p99 ms", "lost"]
    met = goals(
        goal(f"resident per idle socket, {result['idle']:,}", "≤", 40, result["idle_kib"], " KiB"),
        goal(
            "last socket after the reply, p99", "≤", 100, fan["last_after_reply"]["p99_ms"], " ms"
        ),
        goal(
            "the same beside one that never reads",
            "≤",
            100,
            stalled["last_after_reply"]["p99_ms"],
            " ms",
        ),
    )
    return f"## WebSockets (chat8)\n\n{table(header, rows)}\n{met}"


def upload(result):
    name = f"growth of resident memory by an upload of {result['mib']} MiB"
    met = goals(goal(name, "<", 8, result["growth_mib"], " MiB"))
    speed = result["mib"] / result["seconds"]
    return f"## Uploads (chat8)\n\n{met}\n{result['mib']} MiB at {speed:,.0f} MiB/s.\n"


def room(result):
    rows = []
    for size, steps in result["steps"].items():
        for step, name in ((best(steps), "most kept up"), (half(steps), "half of it at most")):
            if step:
                rows.append(
                    [
                        size,
                        name,
                        f"{step['rate']:,.0f}",
                        f"{step['rate'] * int(size):,.0f}",
                        f"{step['last_echo']['p50_ms']:.1f}",
                        f"{step['last_echo']['p99_ms']:.1f}",
                        f"{step['server_us']:,.0f}",
                    ]
                )
    header = ["clients", "rate", "messages/s", "echoes/s", "p50 ms to the last", "p99 ms"]
    header.append("server µs a message")
    ten = best(result["steps"].get(10))
    met = goals(
        goal("durable messages into a room of 10", "≥", 3000, ten and ten["rate"], "/s"),
        goal(
            f"resident per idle connection, {result['idle']:,}", "<", 16, result["idle_kib"], " KiB"
        ),
    )
    how = (
        "All clients stand in one room and send in turn at a steady rate; a message counts when its "
        "echo, which follows the commit, has reached all. The rate rises until fewer than 95 of 100 "
        "messages arrive in time or a client is dropped. "
        f"A synced write of 4 KiB took {result['fdatasync_ms']:.2f} ms before.\n"
    )
    return f"## Rooms over TCP (chat_room)\n\n{how}\n{table(header, rows)}\n{met}"


def agent(result):
    history, page = result["history"], result["page"]

    def row(name, times):
        return [name, f"{times['p50_ms']:.1f}", f"{times['p99_ms']:.1f}"]

    rows = [
        row("text of 1 KiB, one at a time", result["alone"]),
        row(f"text of 1 KiB, {result['rate']}/s", result["steady"]),
    ]
    tables = table(["to the other's event stream", "p50 ms", "p99 ms"], rows)
    picture = result["picture"]
    slowest = f"{picture['ms']:.0f} (slowest of {picture['count']}: {picture['slowest_ms']:.0f})"
    count = f"{history['records']:,}"
    met = ""
    rows = [
        ["picture of 5 MiB, to the other's event stream", slowest],
        [f"history of {count}, whole, opened", f"{history['whole_ms']:.0f}"],
        ["its newest 50, opened", f"{history['page_ms']:.1f}"],
    ]
    if page:
        rows.append([f"page: first screen of the chat of {count}", f"{page['first_screen_ms']:.0f}"])
        rows.append(["page: picture of 5 MiB, drawn at the other side", f"{page['picture_ms']:.0f}"])
        name = f"page's first screen, history of {count}"
        met = "\n" + goals(goal(name, "<", 1000, page["first_screen_ms"], " ms"))
    tables += "\n" + table(["pictures and histories", "median ms"], rows)
    how = (
        "One server and two `sealpost agent`, driven through the routes that their page uses. Texts "
        "and pictures count from when they are handed to the writer's agent (at a steady rate: from "
        "when they were due) until the whole clear text has been read from the event stream of the "
        "reader's: sealed, stored durably, relayed and opened. The page is measured in headless "
        "Chromium with an empty cache, from navigation until messages are painted.\n"
    )
    if not page:
        how += "\nThe page was not measured: Node or Chromium were missing.\n"
    return f"## Two agents (encommunication)\n\n{how}\n{tables}{met}"


def is_kept_up(step):
    return step["rate"] >= step["offered_rate"] * 0.95 and step["lost_clients"] == 0


def best(steps):
    """The highest rate that was kept up, or None."""
    return next((step for step in reversed(steps or []) if is_kept_up(step)), None)


def half(steps):
    """The highest rate that is at most half of the best."""
    most = best(steps)
    if most is None:
        return None
    below = [step for step in steps if step["offered_rate"] * 2 <= most["offered_rate"]]
    return below[-1] if below else None
