"""The agent and a peer written with Python's `cryptography`, through the built server.

The peer is the published client in short: what the agent seals it must open, and the other way
round, with nothing shared but the formats on the wire.
"""

import base64
import json
import os
import subprocess
import time

import pytest
import requests
import websocket
from conftest import BINARY
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

SOON = 15


def b64(data):
    return base64.b64encode(data).decode()


class Peer:
    """A user who is no agent."""

    def __init__(self, server, username):
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        public = self.key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        who = {"username": username, "password": "password-1"}
        body = {**who, "repassword": "password-1", "publicKey": public.decode()}
        assert requests.post(f"{server.url}/register", json=body).json()["code"] == 1
        self.login = requests.post(f"{server.url}/login", json=who).json()["data"]
        self.id = self.login["id"]
        url = server.url.replace("http", "ws") + "/chat"
        self.socket = websocket.create_connection(url, header={"token": self.login["token"]}, timeout=SOON)
        self.roster = {}

    def frame(self, fits):
        """The next frame that fits; rosters are remembered on the way."""
        while True:
            frame = json.loads(self.socket.recv())
            if frame["systemMessage"] and isinstance(frame["message"], list):
                self.roster = {user["username"]: user for user in frame["message"]}
            if fits(frame):
                return frame

    def sees(self, username):
        if username not in self.roster:
            self.frame(lambda frame: username in self.roster)
        return self.roster[username]

    def send(self, to, message, aes_key):
        self.socket.send(json.dumps({"fromId": self.id, "toId": to, "message": message, "aesKey": aes_key}))

    def unwrap(self, frame):
        return self.key.decrypt(base64.b64decode(frame["aesKey"]), padding.PKCS1v15())

    def close(self):
        self.socket.close()


def wrap(listed, key):
    public = serialization.load_pem_public_key(listed["publicKey"].encode())
    return b64(public.encrypt(key, padding.PKCS1v15()))


def seal(key, text):
    iv = os.urandom(12)
    return b64(iv + AESGCM(key).encrypt(iv, text.encode(), None))


def unseal(key, sealed):
    data = base64.b64decode(sealed)
    return AESGCM(key).decrypt(data[:12], data[12:], None).decode()


class Agent:
    """`sealpost agent` on a free port."""

    def __init__(self, server, home):
        command = [str(BINARY), "agent", "--server", server.url, "--port", "0", "--data-dir", str(home / "agent")]
        self.process = subprocess.Popen(command, cwd=home, stdout=subprocess.PIPE)
        self.url = self.process.stdout.readline().decode().split()[-1]

    def call(self, method, path, **arguments):
        answer = requests.request(method, self.url + path, **arguments).json()
        assert answer["code"] == 1, answer
        return answer["data"]

    def person(self, username):
        body = {"username": username, "password": "password-1", "repassword": "password-1"}
        self.call("POST", "/api/register", json=body)
        return self.call("POST", "/api/login", json=body)["id"]

    def send(self, user, to, text):
        self.call("POST", "/api/send_message", json={"from_id": user, "target_id": to, "message": text})

    def texts(self, user, peer):
        data = self.call("GET", f"/api/chat/records?fromId={user}&toId={peer}")
        return [record["chat"] for record in data["records"]]

    def knows(self, user, peer):
        until = time.monotonic() + SOON
        while str(peer) not in self.call("GET", "/api/online_users")["users"]:
            assert time.monotonic() < until
            time.sleep(0.02)


@pytest.fixture
def agent(server, tmp_path):
    one = Agent(server, tmp_path)
    yield one
    one.process.terminate()
    assert one.process.wait(SOON) == 0


def test_the_agent_and_a_python_peer_open_what_the_other_sealed(server, agent):
    alice = agent.person("alice of the agent")
    bob = Peer(server, "bob of Python")
    agent.knows(alice, bob.id)
    listed = bob.sees("alice of the agent")

    agent.send(alice, bob.id, "你好 from the agent")
    offer = bob.frame(lambda frame: frame.get("fromId") == alice)
    assert offer["message"] == ""
    key = bob.unwrap(offer)
    assert len(key) == 32
    bob.send(alice, "", wrap(listed, key))
    message = bob.frame(lambda frame: frame.get("fromId") == alice and frame["message"])
    assert bob.unwrap(message) == key
    assert unseal(key, message["message"]) == "你好 from the agent"

    with requests.get(agent.url + "/api/stream", stream=True, timeout=SOON) as stream:
        lines = stream.iter_lines()
        assert next(lines).startswith(b":")
        own = os.urandom(32)
        bob.send(alice, seal(own, "a key of its own"), wrap(listed, own))
        bob.send(alice, seal(key, "the shared key"), "")
        said = (json.loads(line[6:]) for line in lines if line.startswith(b"data: "))
        said = (event for event in said if "type" not in event)
        for text in ("a key of its own", "the shared key"):
            event = next(said)
            assert (event["fromId"], event["content"]) == (bob.id, text)
    assert agent.texts(alice, bob.id) == ["你好 from the agent", "a key of its own", "the shared key"]
    bob.close()


def test_the_servers_signature_over_a_key_is_the_published_one(server, agent):
    agent.person("carol of the agent")
    bob = Peer(server, "bob the checker")
    listed = bob.sees("carol of the agent")
    public = serialization.load_pem_public_key(requests.get(f"{server.url}/server_public.pem").content)
    signature = base64.b64decode(listed["enpublicKey"])
    public.verify(signature, listed["publicKey"].encode(), padding.PKCS1v15(), hashes.SHA256())
    with pytest.raises(InvalidSignature):
        public.verify(signature, b"another key", padding.PKCS1v15(), hashes.SHA256())
    bob.close()


def test_the_fingerprint_is_sha256_of_the_der_key(server, agent):
    user = agent.person("dave of the agent")
    bob = Peer(server, "bob who compares")
    pem = bob.sees("dave of the agent")["publicKey"]
    der = serialization.load_pem_public_key(pem.encode()).public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    digest = hashes.Hash(hashes.SHA256())
    digest.update(der)
    assert agent.call("GET", f"/api/fingerprint?user={user}")["fingerprint"] == digest.finalize().hex()
    bob.close()
