-- Who is called just so but for the case is looked up, not searched for.
CREATE INDEX users_by_folded_name ON users (username_folded);
