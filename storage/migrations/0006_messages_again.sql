-- A message that is sent again is found by its serial, however many others its terminal has sent in the last minutes.

CREATE INDEX messages_again ON messages (terminal_id, message_id, serial, received_at);

CREATE INDEX media_of_path ON media (path);
CREATE INDEX attachments_of_path ON attachments (path);
