-- Instants are integers: microseconds since 1970-01-01 UTC.
-- Booleans are 0 or 1. Ids are given out by the one writer, in commit order.
-- Words are compared one by one: for a list of three and more, `IN` would build a table in memory
-- for each row that is written, a sixth of the cost of a send.

CREATE TABLE users (
    id                 INTEGER PRIMARY KEY NOT NULL,
    username           TEXT    NOT NULL UNIQUE,
    -- Lower case, for searches that ignore case.
    username_folded    TEXT    NOT NULL,
    email              TEXT    UNIQUE,
    -- Argon2id, in PHC format.
    verifier           TEXT    NOT NULL,
    public_key         TEXT,
    sealed_private_key TEXT,
    avatar             TEXT,
    status             TEXT    NOT NULL DEFAULT 'online' CHECK (status IN ('online', 'away', 'offline')),
    created_at         INTEGER NOT NULL,
    last_login_at      INTEGER
) STRICT;

CREATE TABLE sessions (
    id         INTEGER PRIMARY KEY NOT NULL,
    user_id    INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX sessions_by_user ON sessions (user_id);
CREATE INDEX sessions_by_expiry ON sessions (expires_at);

-- One way; friends are contacts both ways.
CREATE TABLE contacts (
    user_id    INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    contact_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, contact_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX contacts_by_contact ON contacts (contact_id, user_id);

-- Pending ones only: an answer removes the row.
CREATE TABLE friend_requests (
    id         INTEGER PRIMARY KEY NOT NULL,
    from_id    INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    to_id      INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    message    TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (from_id, to_id)
) STRICT;
CREATE INDEX friend_requests_by_addressee ON friend_requests (to_id, id);

CREATE TABLE rooms (
    id         INTEGER PRIMARY KEY NOT NULL,
    name       TEXT    NOT NULL UNIQUE,
    created_at INTEGER NOT NULL
) STRICT;
INSERT INTO rooms (id, name, created_at) VALUES (1, 'public', CAST(strftime('%s', 'now') AS INTEGER) * 1000000);

CREATE TABLE room_members (
    room_id   INTEGER NOT NULL REFERENCES rooms (id) ON DELETE CASCADE,
    user_id   INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    joined_at INTEGER NOT NULL,
    PRIMARY KEY (room_id, user_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX room_members_by_user ON room_members (user_id, room_id);

CREATE TABLE messages (
    -- AUTOINCREMENT: a deleted message's id is never given to another.
    id            INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    sender_id     INTEGER NOT NULL REFERENCES users (id),
    recipient_id  INTEGER REFERENCES users (id),
    room_id       INTEGER REFERENCES rooms (id),
    -- Both parties of a direct message in one number, the same from either side.
    pair          INTEGER,
    kind          TEXT    NOT NULL CHECK (kind = 'text' OR kind = 'image' OR kind = 'file' OR kind = 'audio' OR kind = 'video'),
    content       TEXT    NOT NULL,
    is_encrypted  INTEGER NOT NULL CHECK (is_encrypted IN (0, 1)),
    -- AES keys as sent: the sender's with this message, the recipient's last one before it.
    sender_key    TEXT,
    recipient_key TEXT,
    -- The sender's idempotency key, and the SHA-256 of the request it came with.
    client_key    TEXT,
    client_digest BLOB,
    sent_at       INTEGER NOT NULL,
    edited_at     INTEGER,
    read_at       INTEGER,
    CHECK ((recipient_id IS NULL) <> (room_id IS NULL)),
    CHECK ((recipient_id IS NULL) = (pair IS NULL))
) STRICT;
CREATE INDEX messages_by_sender ON messages (sender_id, id) WHERE recipient_id IS NOT NULL;
CREATE INDEX messages_by_pair ON messages (pair, id) WHERE pair IS NOT NULL;
CREATE INDEX messages_by_room ON messages (room_id, id) WHERE room_id IS NOT NULL;
CREATE INDEX messages_unread ON messages (recipient_id, id) WHERE recipient_id IS NOT NULL AND read_at IS NULL;
CREATE UNIQUE INDEX messages_by_client_key ON messages (sender_id, client_key) WHERE client_key IS NOT NULL;

-- The mailbox: one row for everyone who may see a message without having sent it.
CREATE TABLE permissions (
    user_id    INTEGER NOT NULL REFERENCES users (id),
    message_id INTEGER NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    kind       TEXT    NOT NULL CHECK (kind = 'read' OR kind = 'write' OR kind = 'admin'),
    -- The recipient's own row, written by the send; it is reset, never removed.
    received   INTEGER NOT NULL CHECK (received IN (0, 1)),
    granted_by INTEGER REFERENCES users (id),
    -- The content sealed again for this user.
    content    TEXT,
    granted_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, message_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX permissions_by_message ON permissions (message_id);

-- Who has exchanged direct messages with whom; both directions.
CREATE TABLE correspondents (
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    peer_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    PRIMARY KEY (user_id, peer_id)
) STRICT, WITHOUT ROWID;

-- The last AES key that one user sent to another, sealed for the receiver.
CREATE TABLE pair_keys (
    from_id    INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    to_id      INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    aes_key    TEXT    NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (from_id, to_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE uploads (
    id           INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    -- The file's name on disk and in URLs: random, unguessable.
    slug         TEXT    NOT NULL UNIQUE,
    owner_id     INTEGER NOT NULL REFERENCES users (id),
    -- Who else may fetch it: one recipient, one room, or (neither) everyone, as an avatar.
    recipient_id INTEGER REFERENCES users (id),
    room_id      INTEGER REFERENCES rooms (id),
    file_name    TEXT    NOT NULL,
    media_type   TEXT    NOT NULL,
    size_bytes   INTEGER NOT NULL,
    created_at   INTEGER NOT NULL
) STRICT;
CREATE INDEX uploads_by_room ON uploads (room_id, id) WHERE room_id IS NOT NULL;
