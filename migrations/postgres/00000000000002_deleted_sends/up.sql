-- What a retry needs of a message that was sent with an idempotency key and deleted since.
CREATE TABLE deleted_sends (
    sender_id     BIGINT  NOT NULL REFERENCES users (id),
    client_key    TEXT    NOT NULL,
    client_digest BYTEA   NOT NULL,
    message_id    BIGINT  NOT NULL,
    sent_at       BIGINT  NOT NULL,
    PRIMARY KEY (sender_id, client_key)
);
