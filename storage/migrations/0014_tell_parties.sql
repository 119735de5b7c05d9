-- Workers are told of parties by one function: by triggers when the registry changes, by the sweeper when a date has come.

CREATE FUNCTION dubhe_tell_parties() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM fences WHERE parties IS NOT NULL) OR EXISTS (SELECT FROM corridors WHERE parties IS NOT NULL)
        OR EXISTS (SELECT FROM stops WHERE parties IS NOT NULL)
    THEN
        PERFORM pg_notify('dubhe_geometry', nextval('geometry_versions')::text);
        RETURN true;
    END IF;
    RETURN false;
END
$$;
COMMENT ON FUNCTION dubhe_tell_parties IS 'let shapes be read anew, for who belongs to what has changed; nobody is told while no shape asks';

CREATE OR REPLACE FUNCTION dubhe_parties_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM dubhe_tell_parties();
    RETURN NULL;
END
$$;
