-- The registry, the tracks, the sessions and the quarantine.
--
-- `fixes` becomes a hypertable where the extension timescaledb was created (storage/migrate.py does so where it can), and a
-- natively partitioned table otherwise. Both have the one index: the identity of a report, which serves the history of a
-- terminal as well.

CREATE TABLE vehicles (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    plate text NOT NULL CHECK (plate <> ''),
    plate_colour smallint NOT NULL,
    vin text,
    vetted boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (plate, plate_colour)
);
COMMENT ON COLUMN vehicles.plate_colour IS 'JT/T 697.7 code; 0: not plated yet, and plate holds the VIN';

CREATE TABLE terminals (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE CHECK (name <> ''),
    vehicle_id bigint UNIQUE REFERENCES vehicles,
    auth_code text NOT NULL DEFAULT left(replace(gen_random_uuid()::text, '-', ''), 16),
    vetted boolean NOT NULL DEFAULT false,
    edition text,
    maker text,
    model text,
    serial_number text,
    province integer,
    city integer,
    created_at timestamptz NOT NULL DEFAULT now(),
    last_registered_at timestamptz
);
COMMENT ON COLUMN terminals.name IS 'digits of the phone field without leading zeros';

-- Which terminals ever served a vehicle: a vehicle's history is looked up through them.
CREATE TABLE bindings (
    vehicle_id bigint NOT NULL REFERENCES vehicles,
    terminal_id bigint NOT NULL REFERENCES terminals,
    bound_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (vehicle_id, terminal_id)
);

CREATE SEQUENCE logins;

CREATE TABLE sessions (
    terminal_id bigint PRIMARY KEY REFERENCES terminals,
    login bigint NOT NULL,
    worker text NOT NULL,
    peer text NOT NULL,
    since timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN sessions.login IS 'number of the latest login; a link holding a smaller one is stale';

CREATE TABLE quarantine (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    received_at timestamptz NOT NULL,
    terminal_id bigint,
    source text NOT NULL,
    message_id integer,
    reason text NOT NULL,
    raw bytea NOT NULL
);

-- Wide columns first: no padding, and the fixed-width ones are found without walking the row.
CREATE TABLE fixes (
    time timestamptz NOT NULL,
    terminal_id bigint NOT NULL,
    vehicle_id bigint,
    received_at timestamptz NOT NULL,
    digest bigint NOT NULL,
    lat double precision,
    lon double precision,
    alarm_bits bigint NOT NULL,
    status_bits bigint NOT NULL,
    mileage_km double precision,
    altitude_m real,
    speed_kmh real,
    course_deg real,
    satellites smallint,
    signal smallint,
    valid boolean NOT NULL,
    dated boolean NOT NULL,
    backfill boolean NOT NULL,
    source text NOT NULL,
    raw bytea NOT NULL
);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb') THEN
        ALTER TABLE fixes ADD CONSTRAINT fixes_key UNIQUE (terminal_id, time, digest);
        PERFORM create_hypertable('fixes', 'time', chunk_time_interval => interval '1 day', create_default_indexes => false);
    ELSE
        ALTER TABLE fixes RENAME TO fixes_default;
        ALTER TABLE fixes_default ADD CONSTRAINT fixes_default_key UNIQUE (terminal_id, time, digest);
        CREATE TABLE fixes (LIKE fixes_default) PARTITION BY RANGE (time);
        ALTER TABLE fixes ADD CONSTRAINT fixes_key UNIQUE (terminal_id, time, digest);
        ALTER TABLE fixes ATTACH PARTITION fixes_default DEFAULT;
    END IF;
END
$$;
COMMENT ON TABLE fixes IS 'one row per position solution, append-only; a report sent again is one row';
