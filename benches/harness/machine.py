"""What the machine says: how fast its disk is, and what a process takes of it. Linux only."""

import os
import platform
import sqlite3
import statistics
import time
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
# Above this the disk, or who else uses it, decides the result.
JUDGED_BELOW_MS = 0.25


def fdatasync_ms(directory, count=300):
    """Median time of writing 4 KiB and having it on disk."""
    path = Path(directory) / "probe"
    page = os.urandom(4096)
    times = []
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.pwrite(file, bytes(64 * 4096), 0)
        os.fsync(file)
        for index in range(count):
            start = time.perf_counter()
            os.pwrite(file, page, index % 64 * 4096)
            os.fdatasync(file)
            times.append(time.perf_counter() - start)
    finally:
        os.close(file)
        path.unlink()
    return statistics.median(times) * 1e3


def lone_commit_ms(directory, count=500):
    """Median time of one row committed by itself: WAL, synchronous=FULL, nothing else going on."""
    path = Path(directory) / "commit.db"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE messages (id INTEGER PRIMARY KEY, content TEXT NOT NULL)")
    content, times = "A" * 344, []
    for _ in range(count):
        start = time.perf_counter()
        connection.execute("INSERT INTO messages (content) VALUES (?)", (content,))
        times.append(time.perf_counter() - start)
    connection.close()
    for leftover in Path(directory).glob("commit.db*"):
        leftover.unlink()
    return statistics.median(times) * 1e3


def family(pid):
    """The process and its children: gunicorn's workers count as the server."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(int(child) for child in children)]


def resident_kib(pid, field="VmRSS"):
    """Resident memory of the process, or its peak (`VmHWM`).

    Of a process with children the memory of all, pages that they share counted once.
    """
    members = family(pid)
    if len(members) > 1:
        return sum(kib(f"/proc/{member}/smaps_rollup", "Pss") for member in members)
    return kib(f"/proc/{pid}/status", field)


def kib(path, field):
    """The number behind `field:` in one of the kernel's tables."""
    for line in Path(path).read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1])
    return 0


def forget_peak(pid):
    """Makes VmHWM start again from what is resident now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def cpu_seconds(pid):
    """Processor time so far of the process and its children."""
    ticks = 0
    for member in family(pid):
        fields = Path(f"/proc/{member}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / TICKS_PER_SECOND


def description():
    """One line about where this was measured."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    return f"{os.cpu_count()} cores ({model}), Linux {platform.release()}"
