-- What a retry needs of a message that was sent with an idempotency key and deleted since.
CREATE TABLE deleted_sends (
    sender_id     INTEGER NOT NULL REFERENCES users (id),
    client_key    TEXT    NOT NULL,
    client_digest BLOB    NOT NULL,
    message_id    INTEGER NOT NULL,
    sent_at       INTEGER NOT NULL,
    PRIMARY KEY (sender_id, client_key)
) STRICT, WITHOUT ROWID;
