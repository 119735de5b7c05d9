-- Commands to terminals, and what terminals say besides positions.
--
-- A command can be inserted by anybody: the worker that holds the terminal's session hears of it (channel dubhe_commands), and
-- whoever waits hears what became of it (channel dubhe_command_states).

CREATE TABLE commands (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    terminal_id bigint NOT NULL REFERENCES terminals,
    message_id integer NOT NULL,
    fields jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL DEFAULT '',
    timeout_s double precision NOT NULL DEFAULT 20 CHECK (timeout_s > 0),
    expires_at timestamptz,
    state text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'sent', 'answered', 'failed', 'expired', 'timed_out')),
    worker text,
    sent_at timestamptz,
    serial integer,
    acknowledged_at timestamptz,
    result text,
    reply_message_id integer,
    reply jsonb,
    answered_at timestamptz
);
COMMENT ON COLUMN commands.fields IS 'fields of the message by name; they become bytes in the terminal''s own edition when it is sent';
COMMENT ON COLUMN commands.expires_at IS 'until when it may wait for the terminal; null: it is sent at once or never';
COMMENT ON COLUMN commands.timeout_s IS 'how long the terminal may take to answer, from sent_at on';
COMMENT ON COLUMN commands.acknowledged_at IS 'when a 0x0001 said ok and the reply proper was still to come';
COMMENT ON COLUMN commands.result IS 'the terminal''s own word, such as ok or unsupported; or, where it never got so far, why';
CREATE INDEX commands_open ON commands (terminal_id, id) WHERE state IN ('queued', 'sent');
CREATE INDEX commands_of_terminal ON commands (terminal_id, id);

CREATE FUNCTION dubhe_command_told() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM pg_notify('dubhe_commands', NEW.terminal_id::text);
    ELSIF NEW.state IS DISTINCT FROM OLD.state OR NEW.reply_message_id IS DISTINCT FROM OLD.reply_message_id THEN
        PERFORM pg_notify('dubhe_command_states', NEW.id::text);
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER commands_told AFTER INSERT OR UPDATE ON commands FOR EACH ROW EXECUTE FUNCTION dubhe_command_told();

CREATE TABLE messages (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    received_at timestamptz NOT NULL,
    terminal_id bigint NOT NULL REFERENCES terminals,
    message_id integer NOT NULL,
    subtype integer,
    serial integer NOT NULL,
    fields jsonb NOT NULL,
    raw bytea NOT NULL
);
COMMENT ON TABLE messages IS 'what terminals say besides positions, log-ins and plain answers: read, and as it came';
COMMENT ON COLUMN messages.subtype IS 'kind of transparent data (0x0900); null for other messages';
CREATE INDEX messages_of_terminal ON messages (terminal_id, received_at);
