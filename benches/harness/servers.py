"""Starts each server in its own directory on a free loopback port, and ends it again."""

import collections
import os
import re
import signal
import subprocess
import threading
import time

from . import build, machine

WORKERS = 3
ADDRESS = re.compile(rb"http://(127\.0\.0\.1:\d+)")
# The chat room is the one listener that does not speak HTTP.
ROOM_ADDRESS = re.compile(rb"(?<!http://)(127\.0\.0\.1:\d+)")


class Server:
    """A running server; leaves with the `with` block."""

    def __init__(self, name, command, **options):
        self.name = name
        self.lines = collections.deque(maxlen=40)
        self.address = self.room_address = None
        self.announced = threading.Event()
        self.started_at = time.perf_counter()
        self.process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            **options,
        )
        threading.Thread(target=self._drain, daemon=True).start()
        if not self.announced.wait(30) or self.address is None:
            self.stop()
            text = b"".join(self.lines).decode(errors="replace")
            raise SystemExit(f"{name} did not start:\n{text}")

    def _drain(self):
        """Reads what the server prints, so that it never waits for us; keeps the last lines."""
        for line in self.process.stdout:
            self.lines.append(line)
            if self.room_address is None and (found := ROOM_ADDRESS.search(line)):
                self.room_address = found[1].decode()
            if self.address is None and (found := ADDRESS.search(line)):
                self.address = found[1].decode()
                self.announced.set()
        self.announced.set()

    @property
    def pid(self):
        return self.process.pid

    def has_room(self):
        """Whether it also said where its chat room listens, which it may do after the rest."""
        deadline = time.monotonic() + 1
        while self.room_address is None and time.monotonic() < deadline:
            time.sleep(0.01)
        return self.room_address is not None

    def resident_mib(self):
        return machine.resident_kib(self.pid) / 1024

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def sealpost(directory, binary=None, name="sealpost"):
    binary = binary or build.RELEASE / "sealpost"
    command = [binary, "serve", "--data-dir", directory, "--port", "0"]
    if has_option(binary, "--chat-room-port"):
        command += ["--chat-room-port", "0"]
    return Server(name, command)


def has_option(binary, option):
    """Whether this build of `sealpost serve` knows an option."""
    done = subprocess.run([binary, "serve", "--help"], capture_output=True, check=False)
    return option.encode() in done.stdout


def ceiling():
    return Server("ceiling", [build.RELEASE / "ceiling"])


def flask(directory, python):
    """Flask under gunicorn: keep-alive workers of one thread each, the fastest mix on two cores."""
    command = [python, "-m", "gunicorn", "--bind", "127.0.0.1:0", "--keep-alive", "75"]
    command += ["--worker-class", "gthread", "--workers", str(WORKERS), "--preload", "app:app"]
    environment = os.environ | {"DATABASE": str(directory / "messages.db")}
    server = Server("flask", command, cwd=build.FLASK, env=environment)
    # The master listens before its workers are there.
    deadline = time.monotonic() + 20
    while len(machine.family(server.pid)) <= WORKERS and time.monotonic() < deadline:
        time.sleep(0.05)
    return server
