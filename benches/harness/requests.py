"""HTTP requests: as bytes for the load generator, or made at once to prepare and to ask."""

import http.client
import json


def encode(method, path, body=None, headers=()):
    """One request as it goes over the wire."""
    payload = b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *headers]
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(payload)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + payload


def write_plan(path, entries):
    """Writes `(kind, request bytes)` pairs in the form the load generator reads."""
    with open(path, "wb") as file:
        for kind, request in entries:
            file.write(b"%s %d\n%s" % (kind.encode(), len(request), request))
    return path


class Client:
    """A keep-alive connection for what is asked once."""

    def __init__(self, address, token=None):
        self.connection = http.client.HTTPConnection(address, timeout=60)
        self.headers = {"Content-Type": "application/json"}
        if token:
            self.headers["Authorization"] = f"Bearer {token}"

    def call(self, method, path, body=None):
        """Status and JSON of one call; not-JSON is None."""
        payload = None if body is None else json.dumps(body)
        self.connection.request(method, path, payload, self.headers)
        reply = self.connection.getresponse()
        text = reply.read()
        try:
            return reply.status, json.loads(text)
        except ValueError:
            return reply.status, None

    def expect(self, method, path, body=None):
        """JSON of a call that must succeed."""
        status, reply = self.call(method, path, body)
        if not 200 <= status < 300:
            raise SystemExit(f"{method} {path}: {status} {reply}")
        return reply
