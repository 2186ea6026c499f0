"""The Python client of the chat8 document, doing what its example does, in the same order.

The class is the document's, line by line but for the name of an unused import; what its example
takes for granted (an account, a friend, somebody to write to) is made first, by the documented calls.
"""

import json

import pytest
import requests
import websocket

from conftest import is_free
from test_openapi import UNTHROTTLED, check_every_answer

PUBLISHED_PORT = 8000
# Calls that would end the login with which all the others are made.
ENDING = r"/auth/(logout|refresh)|/user/password"
# The one who asks is user 1, who was written to by user 2.
SOMEBODY = """
[parameters]
"path.id" = 1
"path.user_id" = 2
"""


class Chat8API:
    def __init__(self, base_url='http://localhost:8000/api/v1'):
        self.base_url = base_url
        self.session = requests.Session()
        self.token = None

    def set_token(self, token):
        self.token = token
        self.session.headers.update({
            'Authorization': f'Bearer {token}'
        })

    def login(self, username, password):
        response = self.session.post(f'{self.base_url}/auth/login', json={
            'username': username,
            'password': password
        })

        if response.status_code == 200:
            data = response.json()
            self.set_token(data['data']['access_token'])
            return data
        else:
            raise Exception(f'登录失败: {response.text}')

    def get_friends(self):
        response = self.session.get(f'{self.base_url}/friends')

        if response.status_code == 200:
            return response.json()
        else:
            raise Exception(f'获取好友列表失败: {response.text}')

    def send_message(self, receiver_id, content, message_type='text'):
        response = self.session.post(f'{self.base_url}/messages', json={
            'receiver_id': receiver_id,
            'content': content,
            'message_type': message_type
        })

        if response.status_code == 200:
            return response.json()
        else:
            raise Exception(f'发送消息失败: {response.text}')


@pytest.fixture
def base_url(start):
    """The published address, when its port is free; where the server is, otherwise."""
    server = start(port=PUBLISHED_PORT if is_free(PUBLISHED_PORT) else 0)
    return f"{server.url}/api/v1"


def register(base_url, username):
    """Makes an account and returns its id and token."""
    fields = {"username": username, "email": f"{username}@example.org"}
    fields |= {"password": "password", "confirm_password": "password"}
    response = requests.post(f"{base_url}/auth/register", json=fields)
    assert response.status_code == 200, response.text
    data = response.json()["data"]
    return data["user_id"], data["access_token"]


def befriend(base_url, asker, answerer, answerer_id):
    """Makes both friends, through a request and its answer."""
    as_asker, as_answerer = ({"Authorization": f"Bearer {token}"} for token in (asker, answerer))
    asked = requests.post(f"{base_url}/friends/request", json={"user_id": answerer_id, "message": "hi"}, headers=as_asker)
    assert asked.json()["message"] == "好友请求已发送"
    [request] = requests.get(f"{base_url}/friends/requests", headers=as_answerer).json()["data"]
    path = f"{base_url}/friends/request/{request['request_id']}"
    answered = requests.put(path, json={"action": "accept"}, headers=as_answerer)
    assert answered.json()["message"] == "好友请求已处理"


def test_the_example(base_url):
    other, others_token = register(base_url, "other")
    user, token = register(base_url, "username")
    befriend(base_url, token, others_token, other)

    api = Chat8API(base_url)

    login_result = api.login('username', 'password')
    assert login_result["success"] is True
    assert login_result["data"]["expires_in"] == 1800
    assert login_result["data"]["user"] == {"id": user, "username": "username", "email": "username@example.org", "avatar": None}

    friends = api.get_friends()
    assert [(friend["id"], friend["username"], friend["status"]) for friend in friends["data"]] == [(other, "other", "offline")]

    message = api.send_message(other, 'Hello, World!')
    sent = message["data"]
    assert (sent["sender_id"], sent["receiver_id"], sent["content"]) == (user, other, "Hello, World!")
    assert (sent["message_type"], sent["is_encrypted"]) == ("text", False)


def test_the_client_raises_what_the_server_answers(base_url):
    register(base_url, "username")
    api = Chat8API(base_url)
    with pytest.raises(Exception, match="登录失败: .*AUTH_003"):
        api.login("username", "wrong password")
    with pytest.raises(Exception, match="获取好友列表失败: .*AUTH_001"):
        api.get_friends()
    api.login("username", "password")
    with pytest.raises(Exception, match="发送消息失败: .*USER_001"):
        api.send_message(99999, "Hello, World!")


def test_the_published_socket(base_url):
    user, token = register(base_url, "username")
    other, others_token = register(base_url, "other")
    url = base_url.replace("http", "ws").replace("/api/v1", f"/ws/{other}?token={others_token}")
    socket = websocket.create_connection(url, timeout=20)
    socket.send(json.dumps({"type": "ping"}))
    assert json.loads(socket.recv())["type"] == "pong"

    api = Chat8API(base_url)
    api.set_token(token)
    sent = api.send_message(other, "Hello, World!")["data"]

    frame = json.loads(socket.recv())
    assert frame["type"] == "new_message"
    assert frame["data"] == {
        "id": sent["id"],
        "sender_id": user,
        "sender_username": "username",
        "content": "Hello, World!",
        "message_type": "text",
        "is_encrypted": False,
    }
    assert frame["timestamp"] == sent["timestamp"]
    socket.close()


@pytest.mark.parametrize("settings", ["", SOMEBODY], ids=["whatever is asked", "what is there"])
def test_every_answer_to_somebody_logged_in_is_described(start, tmp_path, settings):
    server = start(env=UNTHROTTLED)
    base_url = f"{server.url}/api/v1"
    user, token = register(base_url, "username")
    _, others_token = register(base_url, "other")
    letter = {"receiver_id": user, "content": "Hello, World!"}
    requests.post(f"{base_url}/messages", json=letter, headers={"Authorization": f"Bearer {others_token}"})
    options = ["--header", f"Authorization: Bearer {token}"]
    options += ["--include-path-regex", "^/api/v1/", "--exclude-path-regex", ENDING]
    check_every_answer(server, tmp_path, settings, *options)
