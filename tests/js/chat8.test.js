// The JavaScript client of the chat8 document: its axios set-up, its calls, its socket.
//
// The three functions are the document's. What a page has and Node has not (localStorage, and in
// older versions WebSocket) stands in for it here; what the functions take for granted (accounts,
// friends) is made first, by the documented calls.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import axios from 'axios';
import WebSocket from 'ws';
import { startServer } from './server.js';

let server, api, origin;

const localStorage = {
  items: new Map(),
  getItem(name) { return this.items.get(name) ?? null; },
  setItem(name, value) { this.items.set(name, String(value)); },
};

before(async () => {
  server = await startServer(8000);
  origin = `localhost:${server.port}`;

  // 配置 Axios
  api = axios.create({
    baseURL: `http://${origin}/api/v1`,
    headers: {
      'Content-Type': 'application/json'
    }
  });

  // 添加请求拦截器
  api.interceptors.request.use(config => {
    const token = localStorage.getItem('access_token');
    if (token) {
      config.headers.Authorization = `Bearer ${token}`;
    }
    return config;
  });
});

after(() => server.stop());

// 用户登录
async function login(username, password) {
  try {
    const response = await api.post('/auth/login', {
      username,
      password
    });

    const { access_token } = response.data.data;
    localStorage.setItem('access_token', access_token);

    return response.data;
  } catch (error) {
    console.error('登录失败:', error.response.data);
    throw error;
  }
}

// 发送消息
async function sendMessage(receiverId, content, messageType = 'text') {
  try {
    const response = await api.post('/messages', {
      receiver_id: receiverId,
      content,
      message_type: messageType
    });

    return response.data;
  } catch (error) {
    console.error('发送消息失败:', error.response.data);
    throw error;
  }
}

// WebSocket 连接
function connectWebSocket(userId, token, handlers) {
  const ws = new WebSocket(`ws://${origin}/ws/${userId}?token=${token}`);

  ws.onmessage = (event) => {
    const message = JSON.parse(event.data);

    switch (message.type) {
      case 'new_message':
        handlers.handleNewMessage(message.data);
        break;
      case 'user_status':
        handlers.handleUserStatus(message.data);
        break;
      case 'friend_request':
        handlers.handleFriendRequest(message.data);
        break;
    }
  };

  return ws;
}

/** A socket that is open, and what each of its handlers will be called with first. */
async function listen(userId, token) {
  const heard = {};
  const handlers = {};
  for (const name of ['handleNewMessage', 'handleUserStatus', 'handleFriendRequest']) {
    heard[name] = new Promise(resolve => { handlers[name] = resolve; });
  }
  const ws = connectWebSocket(userId, token, handlers);
  await new Promise((resolve, reject) => {
    ws.onopen = resolve;
    ws.onerror = reject;
  });
  return { ...heard, close: () => ws.close() };
}

/** Makes an account; returns its id and token. */
async function register(username) {
  localStorage.items.clear();
  const fields = { username, email: `${username}@example.org`, password: 'password', confirm_password: 'password' };
  const { data } = await api.post('/auth/register', fields);
  return { id: data.data.user_id, token: data.data.access_token };
}

test('one logs in and sends a message, and the receiver hears of it', async () => {
  const receiver = await register('receiver');
  const sender = await register('sender');
  const live = await listen(receiver.id, receiver.token);

  const session = await login('sender', 'password');
  assert.equal(session.success, true);
  assert.deepEqual(session.data.user, { id: sender.id, username: 'sender', email: 'sender@example.org', avatar: null });

  const { data: sent } = await sendMessage(receiver.id, 'Hello, World!');
  assert.equal(sent.content, 'Hello, World!');

  assert.deepEqual(await live.handleNewMessage, {
    id: sent.id,
    sender_id: sender.id,
    sender_username: 'sender',
    content: 'Hello, World!',
    message_type: 'text',
    is_encrypted: false,
  });
  live.close();
});

test('a friend request is heard, and after its answer who comes and goes', async () => {
  const asked = await register('asked');
  const asker = await register('asker');
  const live = await listen(asked.id, asked.token);

  await login('asker', 'password');
  await api.post('/friends/request', { user_id: asked.id, message: 'hi' });
  const request = await live.handleFriendRequest;
  assert.equal(request.from_username, 'asker');

  await login('asked', 'password');
  const answered = await api.put(`/friends/request/${request.request_id}`, { action: 'accept' });
  assert.equal(answered.data.message, '好友请求已处理');

  const friend = await listen(asker.id, asker.token);
  assert.deepEqual(await live.handleUserStatus, { user_id: asker.id, username: 'asker', status: 'online' });
  friend.close();
  live.close();
});

test('a failure has the documented shape', async () => {
  localStorage.items.clear();
  await assert.rejects(login('nobody', 'password'), error => {
    assert.equal(error.response.status, 401);
    const { success, error: problem, timestamp } = error.response.data;
    assert.equal(success, false);
    assert.deepEqual(problem, { code: 'AUTH_003', message: '用户名或密码错误', details: {} });
    assert.match(timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    return true;
  });
});

test('a form made by the browser is an upload', async () => {
  const receiver = await register('fetcher');
  await register('uploader');
  await login('uploader', 'password');

  const form = new FormData();
  form.append('file', new Blob(['%PDF-1.7']), 'plan.pdf');
  form.append('receiver_id', receiver.id);
  const { data } = await api.post('/upload/file', form, { headers: { 'Content-Type': 'multipart/form-data' } });
  assert.equal(data.data.file_name, 'plan.pdf');
  assert.equal(data.data.file_type, 'application/pdf');

  await login('fetcher', 'password');
  const file = await api.get(data.data.file_url, { baseURL: `http://${origin}` });
  assert.equal(file.data, '%PDF-1.7');
});
