"""Schemathesis reads /openapi.json and calls everything in it: no 5xx, no undocumented answer.

As a stranger would; as somebody whose user and message exist, so that the calls get past "not
found"; and with a token, where there is nothing to see without one (chat8: test_chat8.py). The seed
is fixed and the number of examples bounded. Streams are left out: they have no end to wait for.
"""

import subprocess
import sys

import pytest
import requests

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
ENDLESS = r"/stream|/ws$|/ws/|/events"
# So many wrong passwords are tried here that the throttle would hide everything behind it.
UNTHROTTLED = {"ROCKET_LOGIN_FAILURES_PER_ACCOUNT": "1000000", "ROCKET_LOGIN_FAILURES_PER_ADDRESS": "1000000"}
SOMEBODY = """
[parameters]
"query.user_id" = "alice"
"path.message_id" = 1
"""
# Alice is user 1; user 2 has written to her.
KNOWN_TO_ALICE = """
[parameters]
"path.friend_id" = 2
"path.username" = "bob"
"query.fromId" = 1
"query.toId" = 2
"query.userId" = 2
"body.friend_username" = "bob"
"body.recipient_username" = "bob"
"""
# What secure_im and the relay keep for those who are logged in, without what ends the login.
GUARDED = r"^/(me/|users/|messages/?$|messages/ack|chatRecords|received|publicKey)"


def post(server, path, **fields):
    response = requests.post(server.url + path, json=fields)
    assert response.status_code == 200, response.text


def check_every_answer(server, home, settings, *options):
    """Calls what the options leave of the description, and checks each answer against it."""
    config = home / "schemathesis.toml"
    config.write_text(settings)
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run"]
    command += [f"{server.url}/openapi.json", "--checks", CHECKS, *options]
    command += ["--phases", "examples,coverage,fuzzing", "--max-examples", "20", "--seed", "20240101"]
    command += ["--continue-on-failure", "--no-color", "--warnings", "off", "--request-timeout", "70"]

    run = subprocess.run(command, cwd=home, capture_output=True, text=True)

    assert run.returncode == 0, run.stdout[-20000:] + run.stderr[-2000:]
    assert server.process.poll() is None, "the server is still there"


def log_in_anew(server, name):
    """Registers somebody and returns a token of theirs; they are online from then on."""
    post(server, "/users", username=name, email=f"{name}@example.org", password="password", public_key="key")
    response = requests.post(f"{server.url}/token", data={"username": name, "password": "password"})
    return response.json()["access_token"]


@pytest.mark.parametrize("settings", ["", SOMEBODY], ids=["a stranger", "somebody known"])
def test_every_answer_is_described(start, tmp_path, settings):
    server = start(env=UNTHROTTLED)
    for user_id in ("alice", "bob"):
        post(server, "/auth/register", user_id=user_id, password_hash="hash", public_key="key")
    post(server, "/messages/send", user_id="alice", receiver_id="bob", encrypted_content="sealed")
    check_every_answer(server, tmp_path, settings, "--exclude-path-regex", ENDLESS)


def test_every_answer_of_secure_im_and_the_relay_to_somebody_logged_in_is_described(start, tmp_path):
    server = start(env=UNTHROTTLED)
    token, _ = [log_in_anew(server, name) for name in ("alice", "bob")]
    post(server, "/messages/send", user_id="bob", receiver_id="alice", encrypted_content="sealed")
    settings = KNOWN_TO_ALICE + f'"header.token" = "{token}"\n"query.token" = "{token}"\n'
    options = ["--header", f"Authorization: Bearer {token}", "--include-path-regex", GUARDED]
    check_every_answer(server, tmp_path, settings, *options)
