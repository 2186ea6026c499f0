"""The nine calls of the message_store document, made as its Python examples make them.

URLs, headers and bodies are those of the examples, as are the expected replies; only what differs
from run to run (ids, instants, tokens) is replaced by what the document shows. Where an example
needs something to exist already (a user, a message), the test makes it first, by the same calls.
"""

import re

import requests

HEADERS = {"Content-Type": "application/json"}


def register(published, user_id, password_hash="hashed_password", public_key="your_public_key"):
    data = {"user_id": user_id, "password_hash": password_hash, "public_key": public_key}
    response = requests.post(published("http://localhost:5000/auth/register"), headers=HEADERS, json=data)
    assert response.status_code == 200, response.text


def send(published, sender, receiver, content):
    data = {"user_id": sender, "receiver_id": receiver, "encrypted_content": content}
    response = requests.post(published("http://localhost:5000/messages/send"), headers=HEADERS, json=data)
    assert response.status_code == 200, response.text
    return response.json()["message_id"]


def redacted(reply):
    """The reply with ids and instants as the document shows them, if they have the right form."""
    if isinstance(reply, list):
        return [redacted(item) for item in reply]
    if not isinstance(reply, dict):
        return reply
    shown = {name: redacted(value) for name, value in reply.items()}
    for name in ("id", "message_id"):
        if isinstance(shown.get(name), int):
            shown[name] = 123
    if re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", str(shown.get("timestamp"))):
        shown["timestamp"] = "2024-01-01T12:00:00"
    return shown


def test_1_register(published):
    url = published("http://localhost:5000/auth/register")
    data = {
        "user_id": "user123",
        "password_hash": "hashed_password",
        "public_key": "your_public_key",
    }

    response = requests.post(url, headers=HEADERS, json=data)

    assert response.status_code == 200
    assert response.json() == {
        "status": "success",
        "message": "Registration successful",
        "data": {"user_id": "user123"},
    }


def test_2_login(published):
    register(published, "user123")
    url = published("http://localhost:5000/auth/login")
    data = {"user_id": "user123", "password_hash": "hashed_password"}

    response = requests.post(url, headers=HEADERS, json=data)

    assert response.status_code == 200
    reply = response.json()
    # Beside what is published, a token for those who want one.
    assert reply["data"].pop("token") and reply["data"].pop("expires_in") > 0
    assert reply == {
        "status": "success",
        "message": "Login successful",
        "data": {"user_id": "user123"},
    }


def test_3_public_key(published):
    register(published, "user123", public_key="user_public_key")
    url = published("http://localhost:5000/auth/public_key?user_id=user123")

    response = requests.get(url, headers=HEADERS)

    assert response.status_code == 200
    assert response.json() == {
        "status": "success",
        "message": "Public key retrieved successfully",
        "data": {"user_id": "user123", "public_key": "user_public_key"},
    }


def test_4_change_password(published):
    register(published, "user123", password_hash="current_hashed_password")
    url = published("http://localhost:5000/auth/change_password")
    data = {
        "user_id": "user123",
        "current_password_hash": "current_hashed_password",
        "new_password_hash": "new_hashed_password",
    }

    response = requests.post(url, headers=HEADERS, json=data)

    assert response.status_code == 200
    assert response.json() == {"status": "success", "message": "Password changed successfully"}

    # The same call again: by now the current password is another.
    response = requests.post(url, headers=HEADERS, json=data)

    assert response.status_code == 401
    assert response.json() == {"status": "error", "message": "Invalid password"}


def test_5_send(published):
    register(published, "sender123")
    register(published, "receiver456")
    url = published("http://localhost:5000/messages/send")
    data = {
        "user_id": "sender123",
        "receiver_id": "receiver456",
        "encrypted_content": "encrypted_message_content",
    }

    response = requests.post(url, headers=HEADERS, json=data)

    assert response.status_code == 200
    assert redacted(response.json()) == {
        "message": "Message sent successfully",
        "message_id": 123,
        "timestamp": "2024-01-01T12:00:00",
        "status": "success",
    }


def test_6_inbox(published):
    register(published, "发送者ID")
    register(published, "user123")
    send(published, "发送者ID", "user123", "加密的消息内容")
    url = published("http://localhost:5000/messages/inbox?user_id=user123")

    response = requests.get(url, headers=HEADERS)

    assert response.status_code == 200
    assert redacted(response.json()) == {
        "messages": [
            {
                "id": 123,
                "sender_id": "发送者ID",
                "encrypted_content": "加密的消息内容",
                "timestamp": "2024-01-01T12:00:00",
            }
        ],
        "status": "success",
    }


def test_7_outbox(published):
    register(published, "接收者ID")
    register(published, "user123")
    send(published, "user123", "接收者ID", "加密的消息内容")
    url = published("http://localhost:5000/messages/outbox?user_id=user123")

    response = requests.get(url, headers=HEADERS)

    assert response.status_code == 200
    assert redacted(response.json()) == {
        "messages": [
            {
                "id": 123,
                "receiver_id": "接收者ID",
                "encrypted_content": "加密的消息内容",
                "timestamp": "2024-01-01T12:00:00",
            }
        ],
        "status": "success",
    }


def send_123_messages(published):
    """The examples grant on message 123, which must be of owner123: so it sends as many."""
    for user_id in ("owner123", "receiver456", "user456"):
        register(published, user_id)
    while send(published, "owner123", "receiver456", "encrypted_message_content") < 123:
        pass


def test_8_grant(published):
    send_123_messages(published)
    url = published("http://localhost:5000/messages/message/123/permission")
    data = {"user_id": "owner123", "target_user_id": "user456", "permission_type": "read"}

    response = requests.post(url, headers=HEADERS, json=data)

    assert response.status_code == 200
    assert response.json() == {"message": "Permission granted successfully", "status": "success"}


def test_9_revoke(published):
    test_8_grant(published)
    url = published("http://localhost:5000/messages/message/123/permission")
    data = {"user_id": "owner123", "target_user_id": "user456"}

    response = requests.delete(url, headers=HEADERS, json=data)

    assert response.status_code == 200
    assert response.json() == {"message": "Permission revoked successfully", "status": "success"}


def test_the_error_of_the_document(published):
    response = requests.get(published("http://localhost:5000/messages/inbox?user_id=user123"), headers=HEADERS)

    assert response.status_code == 404
    assert response.headers["Content-Type"].startswith("application/json")
    reply = response.json()
    assert reply.keys() == {"message", "status"} and reply["status"] == "error"


def test_all_nine_calls_in_one_sitting(published):
    """A message goes from one person to another and is shared with a third, who then loses it."""
    for user_id in ("sender123", "receiver456", "user456"):
        register(published, user_id)
    message_id = send(published, "sender123", "receiver456", "encrypted_message_content")
    url = published(f"http://localhost:5000/messages/message/{message_id}/permission")
    inbox = published("http://localhost:5000/messages/inbox?user_id=user456")
    data = {"user_id": "sender123", "target_user_id": "user456", "permission_type": "read"}

    assert requests.post(url, headers=HEADERS, json=data).status_code == 200
    assert [item["id"] for item in requests.get(inbox, headers=HEADERS).json()["messages"]] == [message_id]
    assert requests.delete(url, headers=HEADERS, json=data).status_code == 200
    assert requests.get(inbox, headers=HEADERS).json() == {"messages": [], "status": "success"}
