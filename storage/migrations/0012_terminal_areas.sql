-- Which areas and routes terminals keep by themselves, as far as the answers to commands tell.
--
-- Commands are the only way to a terminal, so the table follows them: whoever sends 0x8600 to 0x8607, what was sent is noted when it
-- leaves, and what the terminal keeps changes only when it has said ok. Commands grow old and go; this stays.

CREATE TABLE terminal_areas (
    terminal_id bigint NOT NULL REFERENCES terminals,
    kind text NOT NULL CHECK (kind IN ('circle', 'rectangle', 'polygon', 'route')),
    area_id bigint NOT NULL,
    sent jsonb NOT NULL,
    command_id bigint NOT NULL,
    sent_at timestamptz NOT NULL,
    result text,
    kept jsonb,
    confirmed_at timestamptz,
    removed_at timestamptz,
    PRIMARY KEY (terminal_id, kind, area_id)
);
COMMENT ON COLUMN terminal_areas.area_id IS 'id at the terminal: that of the row of fences, of a route that of corridors';
COMMENT ON COLUMN terminal_areas.sent IS 'fields of the newest setting that left, by command_id at sent_at';
COMMENT ON COLUMN terminal_areas.result IS 'what became of it: the word of the command; null: no answer yet';
COMMENT ON COLUMN terminal_areas.removed_at IS 'when the terminal said ok to deleting it; null again when it is sent anew';
COMMENT ON COLUMN terminal_areas.kept IS 'fields of the newest setting that the terminal said ok to, at confirmed_at; null: none, or deleted since';

CREATE FUNCTION dubhe_areas_told() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    of_kind text := (ARRAY['circle', 'rectangle', 'polygon', 'route'])[(NEW.message_id - x'8600'::int) / 2 + 1];
    sets boolean := NEW.message_id % 2 = 0;
    given jsonb := CASE WHEN NEW.message_id IN (x'8600'::int, x'8602'::int) THEN NEW.fields -> 'areas' ELSE jsonb_build_array(NEW.fields) END;
    ids jsonb := coalesce(NEW.fields -> 'ids', 'null');
    replaces_all boolean := coalesce(NEW.fields -> 'action' ->> 'code', NEW.fields ->> 'action') IN ('0', 'update');
BEGIN
    IF sets AND NEW.state = 'sent' THEN
        INSERT INTO terminal_areas AS a (terminal_id, kind, area_id, sent, command_id, sent_at)
        SELECT DISTINCT ON (area -> 'id') NEW.terminal_id, of_kind, (area ->> 'id')::bigint, area, NEW.id, NEW.sent_at
        FROM jsonb_array_elements(given) AS area WHERE jsonb_typeof(area -> 'id') = 'number'
        ON CONFLICT (terminal_id, kind, area_id) DO UPDATE
            SET sent = EXCLUDED.sent, command_id = EXCLUDED.command_id, sent_at = EXCLUDED.sent_at, result = NULL, removed_at = NULL;
    ELSIF sets THEN
        UPDATE terminal_areas SET result = NEW.result WHERE terminal_id = NEW.terminal_id AND command_id = NEW.id;
    END IF;
    IF NEW.state = 'answered' AND NEW.result = 'ok' THEN
        UPDATE terminal_areas SET kept = NULL, removed_at = NEW.answered_at
        WHERE terminal_id = NEW.terminal_id AND kind = of_kind AND removed_at IS NULL
            AND CASE WHEN sets THEN replaces_all ELSE ids IN ('null', '[]', '{}') OR ids @> to_jsonb(area_id) END;
        UPDATE terminal_areas a SET kept = area, confirmed_at = NEW.answered_at, removed_at = NULL
        FROM jsonb_array_elements(given) AS area
        WHERE sets AND a.terminal_id = NEW.terminal_id AND a.kind = of_kind AND area -> 'id' = to_jsonb(a.area_id);
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER areas_told AFTER UPDATE OF state ON commands FOR EACH ROW
    WHEN (NEW.state IS DISTINCT FROM OLD.state AND NEW.message_id BETWEEN x'8600'::int AND x'8607'::int)
    EXECUTE FUNCTION dubhe_areas_told();
