-- AUTOINCREMENT: an answered request's id is never given to another, so that a late answer cannot
-- meet somebody else's request.
CREATE TABLE friend_requests_anew (
    id         INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    from_id    INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    to_id      INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    message    TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (from_id, to_id)
) STRICT;
INSERT INTO friend_requests_anew SELECT id, from_id, to_id, message, created_at FROM friend_requests;
DROP TABLE friend_requests;
ALTER TABLE friend_requests_anew RENAME TO friend_requests;
CREATE INDEX friend_requests_by_addressee ON friend_requests (to_id, id);
