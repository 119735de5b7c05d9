-- Pictures, sounds and films that terminals send. The bytes are files in the data directory, named by what is in them.

CREATE TABLE media (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    terminal_id bigint NOT NULL REFERENCES terminals,
    media_id bigint NOT NULL,
    received_at timestamptz NOT NULL,
    type smallint NOT NULL,
    event smallint NOT NULL,
    channel smallint NOT NULL,
    time timestamptz,
    lat double precision,
    lon double precision,
    content text NOT NULL,
    bytes bigint NOT NULL,
    sha256 text NOT NULL,
    path text NOT NULL,
    UNIQUE (terminal_id, media_id, sha256)
);
COMMENT ON COLUMN media.media_id IS 'the terminal''s own number of it, which it may use again';
COMMENT ON COLUMN media.type IS 'as the terminal says: 0 image, 1 audio, 2 video';
COMMENT ON COLUMN media.content IS 'what the bytes are, found by looking at them';
COMMENT ON COLUMN media.path IS 'the file below data_dir/media';
CREATE INDEX media_of_terminal ON media (terminal_id, received_at);

ALTER TABLE terminals ADD COLUMN rsa_key jsonb;
COMMENT ON COLUMN terminals.rsa_key IS 'the public key it has told (0x0A00): e, and n in hexadecimal digits';
