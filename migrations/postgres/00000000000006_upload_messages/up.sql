-- The message that hands an upload over, and takes it along when it is deleted. Told by the content
-- until now, where anybody could name any upload.
ALTER TABLE uploads ADD COLUMN message_id BIGINT REFERENCES messages (id) ON DELETE SET NULL;
UPDATE uploads SET message_id = (
    SELECT min(messages.id) FROM messages
    WHERE messages.pair = ((least(owner_id, uploads.recipient_id) << 31) | greatest(owner_id, uploads.recipient_id))
        AND messages.sender_id = owner_id
        AND messages.content = '/api/v1/files/' || slug
        AND messages.edited_at IS NULL
) WHERE recipient_id IS NOT NULL;
CREATE UNIQUE INDEX uploads_by_message ON uploads (message_id);
