"""A running server for the Python tests: the built program (SEALPOST_BIN) with data of its own."""

import os
import re
import socket
import subprocess
import threading
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("SEALPOST_BIN", ROOT / "target" / "debug" / "sealpost"))
PUBLISHED_PORT = 5000


def is_free(port):
    """Whether nobody listens on a port of this machine."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


class Server:
    """The program, started on `port` (0: a free one) with its data below `home`."""

    def __init__(self, home, port=0, args=(), env=None):
        command = [str(BINARY), "serve", "--data-dir", str(home / "data"), "--port", str(port), *args]
        if not any("chat-room" in arg for arg in args):
            command.append("--no-chat-room")
        clean = {name: value for name, value in os.environ.items() if not name.startswith("ROCKET_")}
        clean.pop("DATABASE_URL", None)
        self.log = (home / "server.log").open("wb")
        self.process = subprocess.Popen(
            command, cwd=home, env={**clean, **(env or {})}, stdout=subprocess.PIPE, stderr=self.log
        )
        self.said = []
        for line in self.process.stdout:
            self.said.append(line.decode())
            if found := re.search(r"http://127\.0\.0\.1:(\d+)", self.said[-1]):
                self.port = int(found[1])
                break
        else:
            log = (home / "server.log").read_text()
            raise RuntimeError(f"the server did not start: {self.said}\n{log}")
        # Somebody has to read the rest, or the server would stand still once the pipe is full.
        threading.Thread(target=lambda: self.said.extend(map(bytes.decode, self.process.stdout)), daemon=True).start()

    @property
    def url(self):
        return f"http://localhost:{self.port}"

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.log.close()


@pytest.fixture
def start(tmp_path):
    """Starts servers that are stopped when the test ends: `start(port=…, args=…, env=…)`."""
    servers = []

    def start_one(**settings):
        servers.append(Server(tmp_path, **settings))
        return servers[-1]

    yield start_one
    for server in servers:
        server.stop()


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """One server for tests that do not disturb each other."""
    one = Server(tmp_path_factory.mktemp("server"))
    yield one
    one.stop()


@pytest.fixture
def published(start):
    """Rewrites the published address to where the server is; the same address, when it is free."""
    one = start(port=PUBLISHED_PORT if is_free(PUBLISHED_PORT) else 0)
    return lambda url: url.replace("http://localhost:5000", one.url)
