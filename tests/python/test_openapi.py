"""Schemathesis reads /openapi.json and calls everything in it: no 5xx, no undocumented answer.

Twice: as a stranger would, and as somebody whose user and message exist, so that the calls get
past "not found". The seed is fixed and the number of examples bounded. Streams are left out: they
have no end to wait for.
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


def post(server, path, **fields):
    response = requests.post(server.url + path, json=fields)
    assert response.status_code == 200, response.text


@pytest.mark.parametrize("settings", ["", SOMEBODY], ids=["a stranger", "somebody known"])
def test_every_answer_is_described(start, tmp_path, settings):
    server = start(env=UNTHROTTLED)
    for user_id in ("alice", "bob"):
        post(server, "/auth/register", user_id=user_id, password_hash="hash", public_key="key")
    post(server, "/messages/send", user_id="alice", receiver_id="bob", encrypted_content="sealed")
    config = tmp_path / "schemathesis.toml"
    config.write_text(settings)
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run"]
    command += [f"{server.url}/openapi.json", "--checks", CHECKS, "--exclude-path-regex", ENDLESS]
    command += ["--phases", "examples,coverage,fuzzing", "--max-examples", "20", "--seed", "20240101"]
    command += ["--continue-on-failure", "--no-color", "--warnings", "off", "--request-timeout", "70"]

    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    assert run.returncode == 0, run.stdout[-20000:] + run.stderr[-2000:]
    assert server.process.poll() is None, "the server is still there"
