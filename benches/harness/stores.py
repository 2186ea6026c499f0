"""Brings users and messages into each server, and prepares the requests that are replayed.

A store has its messages spread evenly over its users, every tenth shared with one more user, so
that an inbox page holds about eighteen received and two shared messages. sealpost is filled
through its API; Flask is filled through its own models, since its API would take a quarter of an
hour for a million messages.
"""

import os
import random
import subprocess

from . import build, load, requests

SECRET = "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8"
# A base64 RSA-2048 block is 344 characters.
CONTENT_BYTES = 344
# As many in the small store as in the large one, so that only the number of messages differs; in
# the small one an inbox then just fills a page.
USERS = 40
# The mailbox that is streamed whole.
HOARDER = "hoarder"


class Store:
    """How many users and messages, and the plans for them."""

    def __init__(self, directory, messages, users=USERS):
        self.directory = directory
        self.messages = messages
        self.users = [f"user{number:04}" for number in range(1, users + 1)]
        self.rng = random.Random(messages)
        directory.mkdir(parents=True, exist_ok=True)

    def plan(self, kind):
        """The file of requests for one kind of load."""
        return requests.write_plan(self.directory / f"{kind}.plan", self._entries(kind))

    def _entries(self, kind):
        if kind == "send":
            return [self._send() for _ in range(4000)]
        if kind == "inbox":
            return [self._inbox(user) for user in self.users]
        if kind == "login":
            return [self._login(user) for user in self.users]
        if kind == "mixed":
            reads = [self._inbox(self.rng.choice(self.users)) for _ in range(3200)]
            entries = reads + [self._send() for _ in range(800)]
            self.rng.shuffle(entries)
            return entries
        raise ValueError(kind)

    def content(self):
        return "".join(self.rng.choices(BASE64, k=CONTENT_BYTES - 2)) + "=="

    def _send(self, receiver=None):
        body = {
            "user_id": self.rng.choice(self.users),
            "receiver_id": receiver or self.rng.choice(self.users),
            "encrypted_content": self.content(),
        }
        return "send", requests.encode("POST", "/messages/send", body)

    def _inbox(self, user):
        return "inbox", requests.encode("GET", f"/messages/inbox?user_id={user}&limit=20")

    def _login(self, user):
        body = {"user_id": user, "password_hash": SECRET}
        return "login", requests.encode("POST", "/auth/login", body)

    def _register(self, user):
        body = {"user_id": user, "password_hash": SECRET, "public_key": "a public key"}
        return "register", requests.encode("POST", "/auth/register", body)

    def fill(self, server, hoard=0):
        """Fills a server through its API; `hoard` of the messages go to one mailbox.

        Answers the load generator's report of the sends.
        """
        users = [*self.users, HOARDER]
        path = self.directory / "fill.plan"
        plan = requests.write_plan(path, [self._register(user) for user in users])
        load.complete(server, plan, len(users), connections=4)
        sends = requests.write_plan(path, [self._send() for _ in range(20_000)])
        report = load.complete(server, sends, self.messages - hoard)
        if hoard:
            sends = requests.write_plan(path, [self._send(HOARDER) for _ in range(1000)])
            load.complete(server, sends, hoard)
        self._share(server, path)
        return report

    def _share(self, server, path):
        """Shares every tenth of each user's newest thousand messages."""
        client = requests.Client(server.address)
        entries = []
        for user in self.users:
            sent = client.expect("GET", f"/messages/outbox?user_id={user}&limit=1000")["messages"]
            for message in sent[::10]:
                target = self.rng.choice(self.users)
                # The receiver has it already: sharing would change nothing.
                if target in (user, message["receiver_id"]):
                    continue
                body = {"user_id": user, "target_user_id": target, "permission_type": "read"}
                grant = f"/messages/message/{message['id']}/permission"
                entries.append(("grant", requests.encode("POST", grant, body)))
        load.complete(server, requests.write_plan(path, entries), len(entries))

    def fill_flask(self, directory, python):
        """Fills the Flask peer's database file."""
        directory.mkdir(parents=True, exist_ok=True)
        environment = os.environ | {"DATABASE": str(directory / "messages.db")}
        command = [python, "fill.py", str(len(self.users)), str(self.messages), SECRET]
        subprocess.run(command, cwd=build.FLASK, env=environment, check=True)


BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
