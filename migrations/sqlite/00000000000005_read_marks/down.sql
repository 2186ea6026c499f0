CREATE INDEX messages_unread ON messages (recipient_id, id) WHERE recipient_id IS NOT NULL AND read_at IS NULL;
DROP TABLE read_marks;
