"""Starts each server in its own directory on a free loopback port, and ends it again."""

import fcntl
import os
import re
import signal
import subprocess
import threading
import time

from . import build, machine

WORKERS = 3
PIPE_BYTES = 1 << 20
ADDRESS = re.compile(rb"http://(127\.0\.0\.1:\d+)")
# The chat room is the one listener that does not speak HTTP.
ROOM_ADDRESS = re.compile(rb"(?<!http://)(127\.0\.0\.1:\d+)")


class Server:
    """A running server; leaves with the `with` block."""

    def __init__(self, name, command, **options):
        self.name = name
        self.last = b""
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
            raise SystemExit(f"{name} did not start:\n{self.last_words()}")

    def _drain(self):
        """Reads what the server prints, so that it never waits for us; keeps the last of it.

        A server may print a line for each request: once it has announced itself, its lines are
        taken in bulk now and then, so that reading them does not disturb what is measured.
        """
        pipe = self.process.stdout.fileno()
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        head = b""
        while piece := os.read(pipe, PIPE_BYTES):
            self.last = (self.last + piece)[-4000:]
            if len(head) < 4000:
                head += piece
                self._find_addresses(head[: head.rfind(b"\n") + 1])
            if self.announced.is_set():
                time.sleep(0.02)
        self.announced.set()

    def _find_addresses(self, lines):
        if self.room_address is None and (found := ROOM_ADDRESS.search(lines)):
            self.room_address = found[1].decode()
        if self.address is None and (found := ADDRESS.search(lines)):
            self.address = found[1].decode()
            self.announced.set()

    @property
    def pid(self):
        return self.process.pid

    def last_words(self):
        """The end of what the server printed, for when something went wrong."""
        return self.last.decode(errors="replace")

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


def agent(directory, server):
    """An agent of `server`; its keys are below `directory`."""
    command = [build.RELEASE / "sealpost", "agent", "--server", f"http://{server.address}"]
    return Server("agent", [*command, "--data-dir", directory, "--port", "0"])


def has_option(binary, option, command="serve"):
    """Whether this build of sealpost knows an option of a command."""
    done = subprocess.run([binary, command, "--help"], capture_output=True, check=False)
    return done.returncode == 0 and option.encode() in done.stdout


def ceiling():
    return Server("ceiling", [build.RELEASE / "ceiling"])


def flask(directory, python):
    """Flask under gunicorn: keep-alive workers of one thread each."""
    command = [python, "-m", "gunicorn", "--bind", "127.0.0.1:0", "--keep-alive", "75"]
    command += ["--worker-class", "gthread", "--workers", str(WORKERS), "--preload", "app:app"]
    environment = os.environ | {"DATABASE": str(directory / "messages.db")}
    server = Server("flask", command, cwd=build.FLASK, env=environment)
    # The master listens before its workers are there.
    deadline = time.monotonic() + 20
    while len(machine.family(server.pid)) <= WORKERS and time.monotonic() < deadline:
        time.sleep(0.05)
    return server
