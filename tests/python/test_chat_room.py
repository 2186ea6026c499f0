"""The TCP protocol, as the published sample speaks it: a plain socket and one recv for each reply."""

import json
import re
import socket
import time

import pytest

START = b"===FILE_DATA_START===\n"
END = b"\n===FILE_DATA_END===\n"


@pytest.fixture
def address(start):
    """Where the TCP protocol listens."""
    server = start(args=("--chat-room-port", "0"))
    end = time.monotonic() + 30
    while time.monotonic() < end:
        for line in server.said:
            if found := re.search(r"chat_room listens on 127\.0\.0\.1:(\d+)", line):
                return "127.0.0.1", int(found[1])
        time.sleep(0.01)
    raise RuntimeError(f"no port was said: {server.said}")


class Sample:
    """What the published sample does, no more: send a line, recv once, parse what came."""

    def __init__(self, address):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.sock.settimeout(10)
        self.sock.connect(address)

    def send(self, **message):
        line = json.dumps({"timestamp": time.time(), **message}, ensure_ascii=False)
        self.sock.send((line + "\n").encode("utf-8"))

    def recv(self):
        data = self.sock.recv(4096).decode("utf-8")
        assert data.endswith("\n") and data.count("\n") == 1, data
        return json.loads(data.strip())

    def ask(self, **message):
        self.send(**message)
        return self.recv()

    def arrive(self, name):
        assert self.ask(message_type="register_request", username=name, password="password123")["success"]
        reply = self.ask(message_type="login_request", username=name, password="password123")
        assert reply["success"], reply
        return reply


def test_the_published_sample_logs_in(address):
    sample = Sample(address)
    refused = sample.ask(message_type="login_request", username="alice", password="password123")
    assert refused["message_type"] == "login_response"
    assert not refused["success"] and refused["error_message"]
    reply = sample.arrive("alice")
    assert reply["username"] == "alice"
    assert reply["current_chat_group"] == {"id": 1, "name": "public"}


def test_every_reply_is_one_recv(address):
    sample = Sample(address)
    user = sample.arrive("alice")["user_id"]
    said = sample.ask(message_type="chat_message", chat_group_id=1, content="Hello everyone! 你好 🎉")
    assert (said["sender_id"], said["chat_group_name"]) == (user, "public")
    info = sample.ask(message_type="user_info_request")
    assert info["user_info"] == {"user_id": user, "username": "alice", "is_online": True}
    users = sample.ask(message_type="list_users_request")
    assert [one["username"] for one in users["users"]] == ["alice"]
    made = sample.ask(message_type="create_chat_request", chat_name="项目讨论", member_usernames=[])
    assert made["message_type"] == "create_chat_response" and made["success"]
    joined = sample.ask(message_type="join_chat_request", chat_name="项目讨论")
    assert joined["message_type"] == "system_message"
    missing = sample.ask(message_type="join_chat_request", chat_name="技术交流")
    assert missing["error_code"] == 1004
    assert isinstance(missing["timestamp"], float)


def test_a_file_goes_up_and_comes_down(address):
    alice, bob = Sample(address), Sample(address)
    alice.arrive("alice")
    bob.arrive("bob")
    content = bytes(range(256)) * 100
    ready = alice.ask(
        message_type="file_upload_request", filename="a.zip", file_data="", file_size=len(content), chat_group_id=1
    )
    assert ready["success"] and ready["file_id"] is None
    alice.sock.sendall(content)
    lines = alice.sock.makefile("rb")
    assert json.loads(lines.readline())["message_type"] == "file_notification"
    file_id = json.loads(lines.readline())["file_id"]
    assert bob.recv()["message_type"] == "file_notification"
    begin = bob.ask(message_type="file_download_request", file_id=str(file_id))
    assert begin["file_size"] == len(content)
    stream = bob.sock.makefile("rb")
    assert stream.readline() == START
    assert stream.read(len(content)) == content
    assert stream.read(len(END)) == END
    assert json.loads(stream.readline())["message_type"] == "file_download_response"
