-- Fixes that came too late to be judged with those around them: who has some, and what was remembered before.

CREATE TABLE late_terminals (
    terminal_id bigint PRIMARY KEY,
    since timestamptz NOT NULL,
    marked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE late_terminals IS 'terminals with fixes that came too late and wait to be judged; written with the fixes';
COMMENT ON COLUMN late_terminals.since IS 'no such fix is older';
COMMENT ON COLUMN late_terminals.marked_at IS 'when the first of them came';
COMMENT ON COLUMN late_terminals.at IS 'when the last of them came';

ALTER TABLE rule_states ADD COLUMN last_at timestamptz;
COMMENT ON COLUMN rule_states.last_at IS 'time of the newest fix in it; null: saved before this was kept';

CREATE TABLE rule_copies (
    terminal_id bigint NOT NULL,
    last_at timestamptz NOT NULL,
    begun_at timestamptz NOT NULL,
    reach_at timestamptz NOT NULL,
    packed bytea NOT NULL,
    PRIMARY KEY (terminal_id, last_at)
);
COMMENT ON TABLE rule_copies IS 'rule_states as they were, one a day: late fixes are judged from the last that knows nothing of their time';

COMMENT ON COLUMN fixes.quality IS 'flags of the quality gate; 0: good, or older than the gate. Stale (2048) goes when a late fix is judged after all';
COMMENT ON COLUMN events.retrospective IS 'found in late data alone: never a live alarm';
