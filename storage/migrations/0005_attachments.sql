-- The evidence of active-safety alarms (T/JSATL 12): files that a terminal uploads because a 0x9208 has asked for them.

CREATE TABLE attachments (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    terminal_id bigint NOT NULL REFERENCES terminals,
    command_id bigint NOT NULL REFERENCES commands,
    alarm_number text NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    name text NOT NULL,
    type smallint NOT NULL,
    content text NOT NULL,
    bytes bigint NOT NULL,
    sha256 text NOT NULL,
    path text NOT NULL,
    UNIQUE (terminal_id, alarm_number, name, sha256)
);
COMMENT ON COLUMN attachments.name IS 'the terminal''s word for the file, never a path';
COMMENT ON COLUMN attachments.type IS 'as the terminal says: 0 picture, 1 audio, 2 video, 3 text, 4 other';
COMMENT ON COLUMN attachments.content IS 'what the bytes are, found by looking at them';
COMMENT ON COLUMN attachments.path IS 'the file below data_dir/media';
