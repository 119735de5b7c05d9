-- Shapes are meant for terminals, vehicles, lines and groups; which terminals these are is looked up when the shapes are read.

ALTER TABLE fences ADD COLUMN parties text[];
ALTER TABLE corridors ADD COLUMN parties text[];
ALTER TABLE stops ADD COLUMN parties text[];
COMMENT ON COLUMN fences.parties IS 'kind:id of vehicles, lines and groups it is meant for, beside its terminals; both null: for all';

CREATE FUNCTION dubhe_meant_for(terminals bigint[], parties text[]) RETURNS bigint[] LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN terminals IS NULL AND parties IS NULL THEN NULL ELSE ARRAY(
        SELECT unnest(terminals)
        UNION
        SELECT t.id FROM unnest(parties) AS party, terminals AS t
        WHERE split_part(party, ':', 1) = 'vehicle' AND t.vehicle_id = split_part(party, ':', 2)::bigint
        UNION
        SELECT t.id FROM unnest(parties) AS party
        JOIN memberships m ON m.kind = split_part(party, ':', 1) AND m.party_id = split_part(party, ':', 2)::bigint
        JOIN terminals t ON t.vehicle_id = m.vehicle_id
        WHERE m.valid_from <= now() AND m.valid_until > now()
        ORDER BY 1
    ) END
$$;

-- Who serves what changes with memberships and with the vehicles that terminals are fitted to; nobody is told while no shape asks.
CREATE FUNCTION dubhe_parties_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM fences WHERE parties IS NOT NULL) OR EXISTS (SELECT FROM corridors WHERE parties IS NOT NULL)
        OR EXISTS (SELECT FROM stops WHERE parties IS NOT NULL)
    THEN
        PERFORM pg_notify('dubhe_geometry', nextval('geometry_versions')::text);
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER memberships_meant AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON memberships
    EXECUTE FUNCTION dubhe_parties_changed();
CREATE TRIGGER terminals_meant AFTER UPDATE OF vehicle_id ON terminals EXECUTE FUNCTION dubhe_parties_changed();
