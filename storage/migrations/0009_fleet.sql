-- Who may run: enterprises, vehicles, drivers and their papers, each valid in time; the steps of onboarding; the audit of it all.
--
-- Nothing is deleted. A renewal is another row, a correction supersedes a row, and a relation that ends gets its valid_until.
-- Intervals are half-open: valid_from counts, valid_until does not. Whoever changes the fleet tells the workers (channel dubhe_fleet).

CREATE TABLE audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    by text NOT NULL,
    action text NOT NULL,
    subject text NOT NULL,
    vehicle_id bigint,
    before jsonb,
    after jsonb
);
COMMENT ON TABLE audit IS 'who changed what of the registry, when, before and after; written by triggers, append-only';
COMMENT ON COLUMN audit.by IS 'the setting dubhe.by of the transaction, or else the name of the program';
COMMENT ON COLUMN audit.subject IS 'the table';
CREATE INDEX audit_of_vehicle ON audit (vehicle_id, id);

CREATE FUNCTION dubhe_audited() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    unsaid text[] := CASE TG_TABLE_NAME WHEN 'vehicles' THEN '{state,vetted}' WHEN 'terminals' THEN '{auth_code}' ELSE '{}' END;
    before jsonb := CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) - unsaid END;
    after jsonb := CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) - unsaid END;
BEGIN
    IF before IS DISTINCT FROM after THEN
        INSERT INTO audit (by, action, subject, vehicle_id, before, after)
        VALUES (
            coalesce(nullif(current_setting('dubhe.by', true), ''), current_setting('application_name')),
            lower(TG_OP),
            TG_TABLE_NAME,
            (coalesce(after, before) ->> CASE TG_TABLE_NAME WHEN 'vehicles' THEN 'id' ELSE 'vehicle_id' END)::bigint,
            before,
            after
        );
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION dubhe_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: what has happened is neither changed nor deleted', TG_TABLE_NAME;
END
$$;
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit EXECUTE FUNCTION dubhe_append_only();

CREATE TABLE enterprises (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE CHECK (name <> ''),
    credit_code text,
    contact text,
    phone text,
    area text,
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN enterprises.credit_code IS '统一社会信用代码, GB 32100';
COMMENT ON COLUMN enterprises.area IS 'GB/T 2260, 6 digits, or the 12 of a township or village';

CREATE TABLE drivers (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL CHECK (name <> ''),
    qualification text NOT NULL UNIQUE CHECK (qualification <> ''),
    category text,
    licence_class text,
    phone text,
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN drivers.qualification IS 'number of the 从业资格证; its validity is a paper';

ALTER TABLE vehicles
    ADD COLUMN state text NOT NULL DEFAULT 'draft' CHECK (
        state IN ('draft', 'submitted', 'review', 'returned', 'approved', 'active', 'suspended', 'retired')
    ),
    ADD COLUMN class text NOT NULL DEFAULT 'other' CHECK (
        class IN ('coach', 'tour', 'charter', 'rural', 'city', 'hazardous', 'freight', 'other')
    ),
    ADD COLUMN type text,
    ADD COLUMN code_system text NOT NULL DEFAULT 'JT/T 697.7-2014',
    ADD COLUMN seats smallint CHECK (seats > 0),
    ADD COLUMN max_kmh smallint CHECK (max_kmh > 0),
    ADD COLUMN area text,
    ADD COLUMN brand text,
    ADD COLUMN engine text,
    ADD COLUMN fuel text,
    ADD COLUMN first_registered date;
COMMENT ON COLUMN vehicles.state IS 'state of the last step of its onboarding';
COMMENT ON COLUMN vehicles.class IS 'what service it is for; coach, tour, charter and hazardous are key vehicles (两客一危)';
COMMENT ON COLUMN vehicles.type IS 'code of the vehicle type in code_system';
COMMENT ON COLUMN vehicles.area IS '车籍地, GB/T 2260';

CREATE TABLE onboarding (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    vehicle_id bigint NOT NULL REFERENCES vehicles,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    action text NOT NULL,
    state text NOT NULL,
    by text NOT NULL,
    reason text NOT NULL DEFAULT ''
);
COMMENT ON TABLE onboarding IS 'each step of a vehicle; the state it led to holds until the next one';
CREATE INDEX onboarding_of_vehicle ON onboarding (vehicle_id, id);
INSERT INTO onboarding (vehicle_id, at, action, state, by) SELECT id, created_at, 'enter', 'active', 'dubhe migrate' FROM vehicles WHERE vetted;
UPDATE vehicles SET state = 'active' WHERE vetted;
ALTER TABLE vehicles DROP COLUMN vetted;
ALTER TABLE vehicles ADD COLUMN vetted boolean NOT NULL GENERATED ALWAYS AS (state IN ('approved', 'active', 'suspended')) STORED;

CREATE FUNCTION dubhe_stepped() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE vehicles SET state = NEW.state WHERE id = NEW.vehicle_id;
    RETURN NULL;
END
$$;
CREATE TRIGGER onboarding_stepped AFTER INSERT ON onboarding FOR EACH ROW EXECUTE FUNCTION dubhe_stepped();
CREATE TRIGGER onboarding_append_only BEFORE UPDATE OR DELETE ON onboarding EXECUTE FUNCTION dubhe_append_only();

CREATE TABLE statuses (
    vehicle_id bigint NOT NULL REFERENCES vehicles,
    status text NOT NULL CHECK (status IN ('operating', 'stopped', 'laid_up', 'closed', 'moved_out', 'scrapped', 'locked')),
    valid_from timestamptz NOT NULL DEFAULT '-infinity',
    valid_until timestamptz NOT NULL DEFAULT 'infinity',
    PRIMARY KEY (vehicle_id, valid_from),
    CHECK (valid_from < valid_until)
);
COMMENT ON TABLE statuses IS '营运, 停运, 停驶, 歇业, 转出, 报废, 锁定; a vehicle of which nothing is said is operating';

CREATE TABLE papers (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL,
    vehicle_id bigint REFERENCES vehicles,
    enterprise_id bigint REFERENCES enterprises,
    driver_id bigint REFERENCES drivers,
    number text NOT NULL DEFAULT '',
    issuer text NOT NULL DEFAULT '',
    valid_from timestamptz NOT NULL DEFAULT '-infinity',
    valid_until timestamptz NOT NULL DEFAULT 'infinity',
    line_id bigint REFERENCES lines,
    about jsonb NOT NULL DEFAULT '{}',
    entered_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    superseded_at timestamptz,
    CHECK (valid_from < valid_until),
    CHECK (
        CASE
            WHEN kind IN ('certificate', 'review', 'inspection', 'compulsory', 'carrier', 'permit') THEN vehicle_id IS NOT NULL
            WHEN kind = 'licence' THEN enterprise_id IS NOT NULL
            WHEN kind IN ('qualification', 'driving_licence') THEN driver_id IS NOT NULL
            ELSE false
        END
    ),
    CHECK (num_nonnulls(vehicle_id, enterprise_id, driver_id) = 1),
    CHECK (line_id IS NULL OR kind = 'permit')
);
COMMENT ON TABLE papers IS 'certificates, reviews, inspections, insurances, permits, licences, qualifications, of a vehicle, an enterprise or a driver';
COMMENT ON COLUMN papers.line_id IS 'the line that a permit is for; null: a zone or charter permit, for whatever is served';
COMMENT ON COLUMN papers.about IS 'what only this kind has: grade, sum_per_seat, line_class 1-4, trips_per_day, scope …';
COMMENT ON COLUMN papers.superseded_at IS 'since when another row says it better; this one counts no more';
CREATE INDEX papers_of_vehicle ON papers (vehicle_id, kind);
CREATE INDEX papers_of_enterprise ON papers (enterprise_id);
CREATE INDEX papers_of_driver ON papers (driver_id);

ALTER TABLE memberships DROP CONSTRAINT memberships_kind_check;
ALTER TABLE memberships ADD CONSTRAINT memberships_kind_check CHECK (kind IN ('line', 'group', 'enterprise'));
COMMENT ON TABLE memberships IS 'a vehicle serves a line, or belongs to a group or an enterprise, from valid_from and until before valid_until';

CREATE TABLE assignments (
    vehicle_id bigint NOT NULL REFERENCES vehicles,
    driver_id bigint NOT NULL REFERENCES drivers,
    valid_from timestamptz NOT NULL DEFAULT '-infinity',
    valid_until timestamptz NOT NULL DEFAULT 'infinity',
    PRIMARY KEY (vehicle_id, driver_id, valid_from),
    CHECK (valid_from < valid_until)
);
COMMENT ON TABLE assignments IS 'who drives a vehicle';

-- A terminal's vehicle stands in terminals; which it had when is written down here, whoever changes it.
ALTER TABLE terminals ADD COLUMN registered_plate text, ADD COLUMN registered_colour smallint;
COMMENT ON COLUMN terminals.registered_plate IS 'what its last 0x0100 said';
ALTER TABLE bindings ADD COLUMN released_at timestamptz NOT NULL DEFAULT 'infinity';
UPDATE bindings b SET released_at = greatest(
    b.bound_at + interval '1 microsecond',
    coalesce((SELECT min(later.bound_at) FROM bindings later WHERE later.terminal_id = b.terminal_id AND later.bound_at > b.bound_at), now())
)
WHERE NOT EXISTS (SELECT FROM terminals t WHERE t.id = b.terminal_id AND t.vehicle_id = b.vehicle_id);
ALTER TABLE bindings DROP CONSTRAINT bindings_pkey;
ALTER TABLE bindings ADD PRIMARY KEY (vehicle_id, terminal_id, bound_at), ADD CHECK (bound_at < released_at);
CREATE UNIQUE INDEX bindings_in_force ON bindings (terminal_id) WHERE released_at = 'infinity';

CREATE FUNCTION dubhe_bound() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE bindings SET released_at = clock_timestamp()
    WHERE terminal_id = NEW.id AND released_at = 'infinity' AND vehicle_id IS DISTINCT FROM NEW.vehicle_id;
    IF NEW.vehicle_id IS NOT NULL THEN
        INSERT INTO bindings (vehicle_id, terminal_id, bound_at) VALUES (NEW.vehicle_id, NEW.id, clock_timestamp()) ON CONFLICT DO NOTHING;
        INSERT INTO onboarding (vehicle_id, action, state, by, reason)
        SELECT id, 'activate', 'active', 'dubhe', 'terminal bound' FROM vehicles WHERE id = NEW.vehicle_id AND state = 'approved';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER terminals_bound AFTER INSERT OR UPDATE OF vehicle_id ON terminals FOR EACH ROW EXECUTE FUNCTION dubhe_bound();

CREATE SEQUENCE fleet_versions;
CREATE OR REPLACE FUNCTION dubhe_fleet_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('dubhe_fleet', nextval('fleet_versions')::text);
    RETURN NULL;
END
$$;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['onboarding', 'statuses', 'papers', 'assignments', 'bindings'] LOOP
        EXECUTE format(
            'CREATE TRIGGER %1$s_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON %1$s EXECUTE FUNCTION dubhe_fleet_changed()', name
        );
    END LOOP;
    FOREACH name IN ARRAY ARRAY[
        'vehicles', 'onboarding', 'statuses', 'papers', 'assignments', 'bindings', 'memberships', 'enterprises', 'drivers', 'lines', 'groups'
    ] LOOP
        EXECUTE format('CREATE TRIGGER %1$s_audited AFTER INSERT OR UPDATE OR DELETE ON %1$s FOR EACH ROW EXECUTE FUNCTION dubhe_audited()', name);
    END LOOP;
END
$$;
CREATE TRIGGER terminals_audited AFTER INSERT OR UPDATE OF vetted ON terminals
    FOR EACH ROW WHEN (NEW.vetted) EXECUTE FUNCTION dubhe_audited();
CREATE TRIGGER vehicles_changed AFTER UPDATE OF class, max_kmh ON vehicles EXECUTE FUNCTION dubhe_fleet_changed();
