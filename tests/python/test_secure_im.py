"""The calls of the secure-IM document, and the story of its later clients, with `requests` and a
WebSocket: the same calls in the same order, with the same reading of the replies."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import requests
import websocket

PASSWORD = "password123"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def base(server):
    return server.url


@pytest.fixture
def names(request):
    """Two names that no other test uses."""
    return [f"user{number}_{request.node.name}" for number in (1, 2)]


def register(base, name):
    data = {
        "username": name,
        "email": f"{name}@example.com",
        "password": PASSWORD,
        "public_key": f"key_for_{name}",
    }
    response = requests.post(f"{base}/users/", data=json.dumps(data), headers={"Content-Type": "application/json"})
    assert response.status_code == 200, response.text
    return response.json()["id"]


def log_in(base, name, **more):
    response = requests.post(f"{base}/token", data={"username": name, "password": PASSWORD, **more})
    assert response.status_code == 200, response.text
    return {"Authorization": f"Bearer {response.json()['access_token']}"}


def open_socket(base, bearer):
    token = bearer["Authorization"].removeprefix("Bearer ")
    return websocket.create_connection(f"{base.replace('http', 'ws')}/ws?token={token}", timeout=20)


def test_the_document_from_its_first_call_to_its_last(base, names):
    alice, bob = names
    alice_id, bob_id = register(base, alice), register(base, bob)
    at_alice, at_bob = log_in(base, alice), log_in(base, bob, port=6953)

    added = requests.post(f"{base}/me/contacts/", headers=at_alice, json={"friend_username": bob})
    assert added.status_code == 200
    (contact,) = requests.get(f"{base}/me/contacts/", headers=at_alice).json()
    assert (contact["id"], contact["username"], contact["is_online"]) == (bob_id, bob, True)
    assert requests.get(f"{base}/me/contacts/online", headers=at_alice).json() == [
        {"username": bob, "public_key": f"key_for_{bob}", "ip_address": "127.0.0.1", "port": 6953}
    ]
    info = requests.get(f"{base}/users/{bob}/connection-info", headers=at_alice)
    assert info.json() == {"public_key": f"key_for_{bob}", "ip_address": "127.0.0.1", "port": 6953}

    gone = requests.post(f"{base}/logout", headers=at_bob)
    assert (gone.status_code, gone.json()) == (200, {"detail": "Logged out successfully"})
    assert requests.get(f"{base}/users/{bob}/connection-info", headers=at_alice).status_code == 404

    letter = {"recipient_username": bob, "encrypted_content": "SGVsbG8gd29ybGQh"}
    sent = requests.post(f"{base}/messages/", headers=at_alice, json=letter)
    assert sent.status_code == 200
    at_bob = log_in(base, bob)
    (message,) = requests.get(f"{base}/messages/", headers=at_bob).json()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", message.pop("sent_at"))
    assert message == {
        "id": sent.json()["id"],
        "sender_id": alice_id,
        "receiver_id": bob_id,
        "encrypted_content": "SGVsbG8gd29ybGQh",
    }
    assert requests.get(f"{base}/messages/", headers=at_bob).json() == []


def test_the_broadcast_socket(base, names):
    alice, bob = names
    register(base, alice), register(base, bob)
    at_alice = open_socket(base, log_in(base, alice))
    at_bob = open_socket(base, log_in(base, bob))
    assert at_alice.recv() == f"用户 {bob} 加入了聊天"
    at_bob.send("你好")
    assert at_alice.recv() == f"{bob}: 你好"
    at_bob.close()
    assert at_alice.recv() == f"用户 {bob} 已离开"
    at_alice.close()


def test_a_socket_without_a_valid_token_is_refused(base):
    for query in ("", "?token=nonsense"):
        with pytest.raises(websocket.WebSocketBadStatusException) as refusal:
            websocket.create_connection(f"{base.replace('http', 'ws')}/ws{query}")
        assert refusal.value.status_code == 403


def test_the_later_clients_ask_accept_beat_and_delete(base, names):
    one, two = names
    one_id, two_id = register(base, one), register(base, two)
    at_one = log_in(base, one)

    found = requests.get(f"{base}/users/search/{two}", headers=at_one)
    assert found.status_code == 200 and any(user["username"] == two for user in found.json())
    asked = requests.post(f"{base}/me/contacts/", headers=at_one, json={"friend_id": two_id})
    assert asked.status_code == 202

    at_two = log_in(base, two)
    pending = requests.get(f"{base}/me/contacts/pending", headers=at_two)
    assert pending.status_code == 200 and any(p["user_id"] == one_id for p in pending.json())
    assert requests.put(f"{base}/me/contacts/{one_id}", headers=at_two).status_code == 200
    for bearer, friend in ((at_one, two_id), (at_two, one_id)):
        contacts = requests.get(f"{base}/me/contacts/", headers=bearer).json()
        assert any(contact["friend_id"] == friend for contact in contacts)

    beat = requests.put(f"{base}/me/connection-info", headers=at_one, json={"port": 9999})
    assert beat.status_code == 200
    assert requests.delete(f"{base}/me/contacts/{two_id}", headers=at_one).status_code == 204
    assert requests.get(f"{base}/me/contacts/", headers=at_two).json() == []


def test_a_form_may_be_multipart_and_must_not_be_json(base, names):
    register(base, names[0])
    filled = {"username": names[0], "password": PASSWORD}
    multipart = requests.post(f"{base}/token", files={name: (None, value) for name, value in filled.items()})
    assert multipart.status_code == 200
    as_json = requests.post(f"{base}/token", json=filled)
    assert as_json.status_code == 422
    assert [problem["loc"] for problem in as_json.json()["detail"]] == [["body", "username"], ["body", "password"]]


def test_the_sample_of_the_documentation_runs(server, tmp_path):
    page = (ROOT / "docs" / "apis" / "secure_im.md").read_text()
    sample = re.search(r"```python\n(.*?)```", page, re.S)[1]
    script = tmp_path / "sample.py"
    script.write_text(sample.replace("http://127.0.0.1:8000", server.url))
    run = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    assert run.stdout == "paul can be reached at 127.0.0.1:6953\nolga wrote: SGVsbG8gd29ybGQh\n"
