-- A search walks usernames in their order and compares what is folded: both are here.
CREATE INDEX users_by_name ON users (username, username_folded);
