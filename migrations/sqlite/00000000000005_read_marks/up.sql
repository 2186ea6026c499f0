-- Up to which message a user has read all that was sent to them. In place of an index of what is
-- unread, which every send would have to keep.
CREATE TABLE read_marks (
    user_id    INTEGER PRIMARY KEY NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    message_id INTEGER NOT NULL
) STRICT;
INSERT INTO read_marks SELECT user_id, mark FROM (
    SELECT users.id AS user_id, coalesce(
        (SELECT min(id) - 1 FROM messages WHERE recipient_id = users.id AND read_at IS NULL),
        (SELECT max(message_id) FROM permissions WHERE permissions.user_id = users.id)
    ) AS mark FROM users
) WHERE mark IS NOT NULL;
DROP INDEX messages_unread;
