-- A terminal that is new has been bound to nothing: looking for what to release told all workers that the fleet had changed, once for each.

CREATE OR REPLACE FUNCTION dubhe_bound() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        UPDATE bindings SET released_at = clock_timestamp()
        WHERE terminal_id = NEW.id AND released_at = 'infinity' AND vehicle_id IS DISTINCT FROM NEW.vehicle_id;
    END IF;
    IF NEW.vehicle_id IS NOT NULL THEN
        INSERT INTO bindings (vehicle_id, terminal_id, bound_at) VALUES (NEW.vehicle_id, NEW.id, clock_timestamp()) ON CONFLICT DO NOTHING;
        INSERT INTO onboarding (vehicle_id, action, state, by, reason)
        SELECT id, 'activate', 'active', 'dubhe', 'terminal bound' FROM vehicles WHERE id = NEW.vehicle_id AND state = 'approved';
    END IF;
    RETURN NULL;
END
$$;
