-- Lines that are run and groups of vehicles, and which vehicles belong to them when: what fences, corridors, stops and permits are about.
--
-- Whoever changes the registry of vehicles tells the workers on the channel dubhe_fleet.

CREATE TABLE lines (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE CHECK (name <> ''),
    mode text NOT NULL DEFAULT 'fixed' CHECK (mode IN ('fixed', 'bus_like', 'zone', 'charter', 'booking')),
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN lines.mode IS 'how service is run: a fixed line, like a city bus, within a zone, by charter, by booking';

CREATE TABLE groups (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE CHECK (name <> ''),
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE memberships (
    vehicle_id bigint NOT NULL REFERENCES vehicles ON DELETE CASCADE,
    kind text NOT NULL CHECK (kind IN ('line', 'group')),
    party_id bigint NOT NULL,
    valid_from timestamptz NOT NULL DEFAULT '-infinity',
    valid_until timestamptz NOT NULL DEFAULT 'infinity',
    PRIMARY KEY (vehicle_id, kind, party_id, valid_from),
    CHECK (valid_from < valid_until)
);
COMMENT ON TABLE memberships IS 'a vehicle serves a line, or belongs to a group, from valid_from and until before valid_until';
COMMENT ON COLUMN memberships.party_id IS 'id of the line or group';

CREATE FUNCTION dubhe_fleet_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('dubhe_fleet', '');
    RETURN NULL;
END
$$;
CREATE TRIGGER memberships_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON memberships EXECUTE FUNCTION dubhe_fleet_changed();
