-- Fences, corridors and stops, what happens to vehicles among them, and what the rules remember of each terminal.
--
-- A shape is a GeoJSON feature in WGS-84, with its rules in its properties; whoever changes one tells the workers (channel
-- dubhe_geometry), and every change is a new version of the rules.

CREATE TABLE fences (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL DEFAULT '',
    feature jsonb NOT NULL,
    terminals bigint[],
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN fences.terminals IS 'ids of the terminals it is meant for; null: all';
CREATE TABLE corridors (LIKE fences INCLUDING ALL);
CREATE TABLE stops (LIKE fences INCLUDING ALL);

CREATE SEQUENCE geometry_versions;

CREATE FUNCTION dubhe_geometry_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('dubhe_geometry', nextval('geometry_versions')::text);
    RETURN NULL;
END
$$;
CREATE TRIGGER fences_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON fences EXECUTE FUNCTION dubhe_geometry_changed();
CREATE TRIGGER corridors_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON corridors EXECUTE FUNCTION dubhe_geometry_changed();
CREATE TRIGGER stops_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON stops EXECUTE FUNCTION dubhe_geometry_changed();

CREATE TABLE events (
    id bigint PRIMARY KEY,
    terminal_id bigint NOT NULL,
    vehicle_id bigint,
    kind text NOT NULL,
    subject bigint NOT NULL,
    level smallint NOT NULL,
    started_at timestamptz NOT NULL,
    opened_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    ended_at timestamptz,
    ended text,
    lat double precision,
    lon double precision,
    peak double precision,
    total double precision,
    evidence integer NOT NULL,
    digest bigint NOT NULL,
    retrospective boolean NOT NULL,
    same_as bigint,
    version bigint NOT NULL,
    withdrawn_at timestamptz
);
COMMENT ON TABLE events IS 'one row per incident, as it was last told; written with the fixes that showed it';
COMMENT ON COLUMN events.id IS 'made of terminal, kind, subject and start: telling it again adds nothing';
COMMENT ON COLUMN events.subject IS 'id of the fence, corridor or stop';
COMMENT ON COLUMN events.opened_at IS 'time of the fix that made it certain';
COMMENT ON COLUMN events.ended IS 'returned, gap (what followed is unknown) or rule (the rule ended first)';
COMMENT ON COLUMN events.digest IS 'digest of the fix it began with; evidence lies between started_at and last_at';
COMMENT ON COLUMN events.retrospective IS 'found in late data: never a live alarm';
COMMENT ON COLUMN events.withdrawn_at IS 'late fixes have shown that it did not happen';
CREATE INDEX events_of_terminal ON events (terminal_id, opened_at);

CREATE TABLE rule_states (
    terminal_id bigint PRIMARY KEY,
    at timestamptz NOT NULL,
    begun_at timestamptz NOT NULL,
    reach_at timestamptz NOT NULL,
    packed bytea NOT NULL
);
COMMENT ON TABLE rule_states IS 'what the rules remember of a terminal; any older copy and the fixes received since give the same';
COMMENT ON COLUMN rule_states.begun_at IS 'what opened before, the state knows nothing of';
COMMENT ON COLUMN rule_states.reach_at IS 'fixes that are not later are too late to be taken up';
