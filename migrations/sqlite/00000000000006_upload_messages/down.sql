DROP INDEX uploads_by_message;
ALTER TABLE uploads DROP COLUMN message_id;
