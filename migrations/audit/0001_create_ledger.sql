-- The audit ledger: chains of signed entries, one chain per scope and retention class (1 security, 2 data access, 3 standard).
--
-- An entry's number grows with the time of its recording, so the primary key serves queries by time as well. When the ledger is cut
-- into partitions, that is by class and number range: what has served its time goes from the front of a chain.

-- The last fence that was given out, and the least that may still write.
CREATE TABLE stanchion.audit_writer (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    fence bigint NOT NULL,
    least bigint NOT NULL
);
INSERT INTO stanchion.audit_writer (fence, least) VALUES (0, 0);
CALL stanchion.isolate('stanchion.audit_writer', NULL, 'SELECT, UPDATE');

-- Where each chain stands, and where it stood before the oldest entry that is kept.
CREATE TABLE stanchion.audit_head (
    scope_id uuid NOT NULL,
    class smallint NOT NULL CHECK (class BETWEEN 1 AND 3),
    base_seq bigint NOT NULL DEFAULT 0,
    base_link bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex'),
    base_recorded_at timestamptz NOT NULL DEFAULT '0001-01-01T00:00:00Z',
    seq bigint NOT NULL DEFAULT 0,
    link bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex'),
    recorded_at timestamptz NOT NULL DEFAULT '0001-01-01T00:00:00Z',
    PRIMARY KEY (scope_id, class)
) WITH (fillfactor = 50);
CALL stanchion.isolate('stanchion.audit_head', 'SELECT', 'SELECT, INSERT, UPDATE');

-- `canonical` holds the signed bytes verbatim; what follows it is what queries look at. In texts, `\` is written `\\` and NUL `\0`.
CREATE TABLE stanchion.audit_entry (
    scope_id uuid NOT NULL,
    class smallint NOT NULL,
    seq bigint NOT NULL,
    recorded_at timestamptz NOT NULL,
    link bytea NOT NULL,
    mac bytea NOT NULL,
    key_epoch bigint NOT NULL,
    event_id uuid NOT NULL,
    leaf bytea NOT NULL,
    canonical bytea NOT NULL,
    occurred_at timestamptz NOT NULL,
    actor_kind text NOT NULL,
    actor_id text,
    actor_method text,
    actor_key uuid,
    action text NOT NULL,
    category text NOT NULL,
    outcome text NOT NULL,
    severity text NOT NULL,
    request_id uuid,
    targets text NOT NULL,
    PRIMARY KEY (scope_id, class, seq)
);
CREATE UNIQUE INDEX audit_entry_event ON stanchion.audit_entry (scope_id, event_id);
CREATE INDEX audit_entry_request ON stanchion.audit_entry (scope_id, request_id) WHERE request_id IS NOT NULL;
CALL stanchion.isolate('stanchion.audit_entry', 'SELECT', 'SELECT, INSERT');

-- Writes a batch, or tells in rows why not: `fenced`; `moved`, with the chain and where it stands; `known`, with the place of the
-- entry in the batch and the entry that has its id. The caller commits only if there is no row.
CREATE FUNCTION stanchion.audit_append(
    writer bigint,
    moves_scope uuid[], moves_class smallint[], from_seq bigint[], from_link bytea[],
    to_seq bigint[], to_link bytea[], to_recorded_at timestamptz[],
    scope_ids uuid[], classes smallint[], seqs bigint[], recorded_ats timestamptz[], links bytea[], macs bytea[],
    key_epochs bigint[], event_ids uuid[], leaves bytea[], canonicals bytea[], occurred_ats timestamptz[],
    actor_kinds text[], actor_ids text[], actor_methods text[], actor_keys uuid[], actions text[],
    categories text[], outcomes text[], severities text[], request_ids uuid[], target_lists text[]
) RETURNS TABLE (refusal text, place integer, scope_id uuid, class smallint, seq bigint, digest bytea, recorded_at timestamptz)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    -- A writer that takes the ledger for itself waits for this one, and this one sees it if it came first.
    IF (SELECT writer < least FROM stanchion.audit_writer FOR SHARE) THEN
        RETURN QUERY SELECT 'fenced', NULL::integer, NULL::uuid, NULL::smallint, NULL::bigint, NULL::bytea, NULL::timestamptz;
        RETURN;
    END IF;

    -- Everybody takes chains in the same order, so nobody waits in a circle.
    INSERT INTO stanchion.audit_head (scope_id, class)
    SELECT m.scope_id, m.class FROM unnest(moves_scope, moves_class, from_seq) AS m (scope_id, class, seq)
    WHERE m.seq = 0 ORDER BY 1, 2
    ON CONFLICT DO NOTHING;

    RETURN QUERY
    WITH held AS MATERIALIZED (
        SELECT h.scope_id, h.class, h.seq, h.link, h.recorded_at, m.seq AS from_seq, m.link AS from_link, m.place
        FROM unnest(moves_scope, moves_class, from_seq, from_link) WITH ORDINALITY AS m (scope_id, class, seq, link, place)
        JOIN stanchion.audit_head AS h ON h.scope_id = m.scope_id AND h.class = m.class
        ORDER BY h.scope_id, h.class FOR UPDATE OF h
    )
    SELECT 'moved', m.place::integer, m.scope_id, m.class, coalesce(h.seq, 0),
           coalesce(h.link, decode(repeat('00', 32), 'hex')), coalesce(h.recorded_at, '0001-01-01T00:00:00Z')
    FROM unnest(moves_scope, moves_class, from_seq, from_link) WITH ORDINALITY AS m (scope_id, class, seq, link, place)
    LEFT JOIN held AS h ON h.place = m.place
    WHERE (coalesce(h.seq, 0), coalesce(h.link, decode(repeat('00', 32), 'hex'))) IS DISTINCT FROM (m.seq, m.link)
    ORDER BY m.place;
    IF FOUND THEN RETURN; END IF;

    RETURN QUERY
    SELECT 'known', r.place::integer - 1, e.scope_id, e.class, e.seq, e.leaf, e.recorded_at
    FROM unnest(scope_ids, event_ids) WITH ORDINALITY AS r (scope_id, event_id, place)
    JOIN stanchion.audit_entry AS e ON e.scope_id = r.scope_id AND e.event_id = r.event_id
    ORDER BY r.place;
    IF FOUND THEN RETURN; END IF;

    INSERT INTO stanchion.audit_entry (
        scope_id, class, seq, recorded_at, link, mac, key_epoch, event_id, leaf, canonical, occurred_at, actor_kind,
        actor_id, actor_method, actor_key, action, category, outcome, severity, request_id, targets)
    SELECT * FROM unnest(
        scope_ids, classes, seqs, recorded_ats, links, macs, key_epochs, event_ids, leaves, canonicals, occurred_ats,
        actor_kinds, actor_ids, actor_methods, actor_keys, actions, categories, outcomes, severities, request_ids,
        target_lists);

    UPDATE stanchion.audit_head AS h SET seq = m.seq, link = m.link, recorded_at = m.recorded_at
    FROM unnest(moves_scope, moves_class, to_seq, to_link, to_recorded_at) AS m (scope_id, class, seq, link, recorded_at)
    WHERE h.scope_id = m.scope_id AND h.class = m.class;
END
$$;
GRANT EXECUTE ON FUNCTION stanchion.audit_append TO stanchion_system;

-- Finds the number of a chain's last entry that was recorded before an instant, 0 if there is none: by halves, on the primary key.
CREATE FUNCTION stanchion.audit_last_before(of_scope uuid, of_class smallint, instant timestamptz) RETURNS bigint
LANGUAGE plpgsql STABLE AS $$
DECLARE
    low bigint;
    high bigint;
    middle bigint;
BEGIN
    SELECT base_seq, seq INTO low, high FROM stanchion.audit_head WHERE scope_id = of_scope AND class = of_class;
    IF NOT FOUND THEN RETURN 0; END IF;
    WHILE low < high LOOP
        middle := low + (high - low + 1) / 2;
        IF (SELECT recorded_at < instant FROM stanchion.audit_entry
            WHERE scope_id = of_scope AND class = of_class AND seq = middle) THEN
            low := middle;
        ELSE
            high := middle - 1;
        END IF;
    END LOOP;
    RETURN low;
END
$$;
GRANT EXECUTE ON FUNCTION stanchion.audit_last_before TO stanchion_tenant;
