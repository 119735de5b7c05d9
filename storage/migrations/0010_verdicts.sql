-- Why a vehicle might not run when an incident began; what is for the record only; and whoever looks on is told of new events.

ALTER TABLE events ADD COLUMN reasons integer NOT NULL DEFAULT 0;
ALTER TABLE events ADD COLUMN record_only boolean NOT NULL
    GENERATED ALWAYS AS (reasons <> 0 AND kind NOT IN ('non_compliant_running', 'terminal_alarm')) STORED;
COMMENT ON COLUMN events.reasons IS 'why the vehicle was not compliant when it began, one bit each (docs/reasons.md); 0: it was, or the terminal is bound to no vehicle';
COMMENT ON COLUMN events.record_only IS 'found by a rule about a vehicle that should not have been running: kept, and no alarm';
CREATE INDEX events_open ON events (kind, started_at) WHERE ended_at IS NULL AND withdrawn_at IS NULL;
CREATE INDEX events_by_start ON events (started_at);

CREATE FUNCTION dubhe_events_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('dubhe_events', '');
    RETURN NULL;
END
$$;
CREATE TRIGGER events_changed AFTER INSERT OR UPDATE ON events EXECUTE FUNCTION dubhe_events_changed();
COMMENT ON FUNCTION dubhe_events_changed IS 'a notice for each commit that told something, however much';
