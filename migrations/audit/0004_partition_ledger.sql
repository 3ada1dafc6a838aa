-- The ledger in partitions of a class and a month, without what queries look at; that is kept apart, behind a cursor.
--
-- Servers of the version before cannot write once this has run. What they wrote is carried over.

ALTER TABLE stanchion.audit_entry RENAME TO audit_entry_before;
DROP INDEX stanchion.audit_entry_event, stanchion.audit_entry_request;
DROP FUNCTION stanchion.audit_append;
DROP FUNCTION stanchion.audit_write;
DROP FUNCTION stanchion.audit_last_before;

-- An entry of a chain. `part` is the month it was recorded in, by UTC, as 202611; or 0 for what is kept longer than its month.
-- Each partition has a key of its own on (scope_id, seq), and nothing else: indexes are what a row costs most. `canonical` holds the
-- signed bytes verbatim.
CREATE TABLE stanchion.audit_entry (
    scope_id uuid NOT NULL,
    seq bigint NOT NULL,
    recorded_at timestamptz NOT NULL,
    key_epoch bigint NOT NULL,
    part integer NOT NULL,
    class smallint NOT NULL,
    event_id uuid NOT NULL,
    leaf bytea NOT NULL,
    link bytea NOT NULL,
    mac bytea NOT NULL,
    canonical bytea NOT NULL
) PARTITION BY RANGE (class, part);
CALL stanchion.isolate('stanchion.audit_entry', 'SELECT', 'SELECT, INSERT');

-- Where a chain's parts begin. A chain goes through its parts in their order, so a number or an instant is looked for in one of them.
CREATE TABLE stanchion.audit_span (
    scope_id uuid NOT NULL,
    class smallint NOT NULL,
    part integer NOT NULL,
    first_seq bigint NOT NULL,
    PRIMARY KEY (scope_id, class, part)
);
CALL stanchion.isolate('stanchion.audit_span', 'SELECT', 'SELECT, INSERT, UPDATE, DELETE');

-- Which entry has an id. It is kept as long as the entry, so an id is known for as long.
CREATE TABLE stanchion.audit_id (
    scope_id uuid NOT NULL,
    event_id uuid NOT NULL,
    seq bigint NOT NULL,
    class smallint NOT NULL,
    -- Ids begin with their time, so new ones are put at the index's end, whosever they are. Tenants read here and never write, so no
    -- error tells them of others.
    PRIMARY KEY (event_id, scope_id)
);
CALL stanchion.isolate('stanchion.audit_id', 'SELECT', 'SELECT, INSERT, DELETE');

-- What queries look at: a row for each entry up to the chain's cursor, made from its canonical bytes. In texts, `\` is written `\\` and
-- NUL `\0`. `terms` are hashes of the scope with whatever is looked for by its exact value, so one index serves them all, and each scope
-- has terms of its own.
CREATE TABLE stanchion.audit_search (
    scope_id uuid NOT NULL,
    seq bigint NOT NULL,
    occurred_at timestamptz NOT NULL,
    part integer NOT NULL,
    class smallint NOT NULL,
    actor_kind text NOT NULL,
    actor_id text,
    actor_method text,
    actor_key uuid,
    action text NOT NULL,
    category text NOT NULL,
    outcome text NOT NULL,
    severity text NOT NULL,
    request_id uuid,
    session text,
    trace text,
    targets text NOT NULL,
    terms bigint[] NOT NULL
) PARTITION BY RANGE (class, part);
CREATE INDEX audit_search_terms ON stanchion.audit_search USING gin (terms);
CALL stanchion.isolate('stanchion.audit_search', 'SELECT', 'SELECT, INSERT');

-- Up to which number a chain's entries are in the table above.
CREATE TABLE stanchion.audit_cursor (
    scope_id uuid NOT NULL,
    class smallint NOT NULL,
    seq bigint NOT NULL,
    PRIMARY KEY (scope_id, class)
) WITH (fillfactor = 50);
CALL stanchion.isolate('stanchion.audit_cursor', 'SELECT', 'SELECT, INSERT, UPDATE');

-- Makes partitions as the owner, who alone may. A partition is reached through its table only: named directly, nobody has a right to
-- it, and no row of it is anybody's. It is made beside its table and then attached, so those who write wait for nothing.
CREATE FUNCTION stanchion.audit_add_parts(classes smallint[], parts integer[]) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    wanted record;
    target text;
    name text;
    made integer := 0;
BEGIN
    IF cardinality(parts) > 64 THEN RAISE EXCEPTION 'too many partitions at once'; END IF;
    -- One at a time: the eight letters are `auditadd`.
    PERFORM pg_advisory_xact_lock(7022083127371686244);
    FOR wanted IN
        SELECT DISTINCT w.class, w.part FROM unnest(classes, parts) AS w (class, part)
        WHERE w.class BETWEEN 1 AND 3
          AND (w.part = 0 OR (w.part / 100 BETWEEN 1970 AND 9999 AND w.part % 100 BETWEEN 1 AND 12))
        ORDER BY 1, 2
    LOOP
        FOREACH target IN ARRAY ARRAY['audit_entry', 'audit_search'] LOOP
            name := format('%s_%s_%s', target, wanted.class, wanted.part);
            CONTINUE WHEN to_regclass('stanchion.' || name) IS NOT NULL;
            EXECUTE format('CREATE TABLE stanchion.%I (LIKE stanchion.%I, PRIMARY KEY (scope_id, seq))', name, target);
            EXECUTE format('ALTER TABLE stanchion.%I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name);
            EXECUTE format('ALTER TABLE stanchion.%I ATTACH PARTITION stanchion.%I FOR VALUES FROM (%s, %s) TO (%s, %s)',
                           target, name, wanted.class, wanted.part, wanted.class, wanted.part + 1);
            made := made + 1;
        END LOOP;
    END LOOP;
    RETURN made;
END
$$;
REVOKE ALL ON FUNCTION stanchion.audit_add_parts FROM PUBLIC;
GRANT EXECUTE ON FUNCTION stanchion.audit_add_parts TO stanchion_system;

-- Drops the partitions of a class's part. Whether something in them is still to be kept is for the caller to know, who holds the lock for
-- it; verification misses whatever was.
CREATE FUNCTION stanchion.audit_drop_parts(of_class smallint, of_part integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    target text;
    name text;
    dropped integer := 0;
BEGIN
    FOREACH target IN ARRAY ARRAY['audit_entry', 'audit_search'] LOOP
        name := format('%s_%s_%s', target, of_class, of_part);
        CONTINUE WHEN to_regclass('stanchion.' || name) IS NULL;
        EXECUTE format('DROP TABLE stanchion.%I', name);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END
$$;
REVOKE ALL ON FUNCTION stanchion.audit_drop_parts FROM PUBLIC;
GRANT EXECUTE ON FUNCTION stanchion.audit_drop_parts TO stanchion_system;

-- Writes a batch that nothing stands against, without looking for what might: the chains are moved only from where the batch expects
-- them, and the key of ids refuses those that are known. Otherwise it returns false, or fails with a unique violation: the caller
-- rolls back, and `audit_append` tells why. Moves are in the order of their keys, so nobody waits in a circle. Spans are those that
-- the batch begins.
--
-- Plans are those for a batch of any size: each chain and id is looked up. A plan that reads whole tables, which Postgres prefers while
-- it takes them for small, costs as much as there are chains, and as many dead heads as the last vacuum left. What it must not use is
-- priced so high that a plan without choice would be compiled, for more than it takes to run.
CREATE FUNCTION stanchion.audit_write(
    writer bigint,
    moves_scope uuid[], moves_class smallint[], from_seq bigint[], from_link bytea[],
    to_seq bigint[], to_link bytea[], to_recorded_at timestamptz[],
    spans_scope uuid[], spans_class smallint[], spans_part integer[], spans_seq bigint[],
    scope_ids uuid[], classes smallint[], parts integer[], seqs bigint[], recorded_ats timestamptz[],
    key_epochs bigint[], event_ids uuid[], leaves bytea[], links bytea[], macs bytea[], canonicals bytea[]
) RETURNS boolean
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off SET jit = off
AS $$
DECLARE
    moved bigint;
BEGIN
    -- A writer that takes the ledger for itself waits for this one, and this one sees it if it came first.
    IF (SELECT writer < least FROM stanchion.audit_writer FOR SHARE) THEN RETURN false; END IF;

    IF 0 = ANY (from_seq) THEN
        INSERT INTO stanchion.audit_head (scope_id, class)
        SELECT m.scope_id, m.class FROM unnest(moves_scope, moves_class, from_seq) AS m (scope_id, class, seq)
        WHERE m.seq = 0
        ON CONFLICT DO NOTHING;
    END IF;

    UPDATE stanchion.audit_head AS h SET seq = m.to_seq, link = m.to_link, recorded_at = m.recorded_at
    FROM unnest(moves_scope, moves_class, from_seq, from_link, to_seq, to_link, to_recorded_at)
        AS m (scope_id, class, from_seq, from_link, to_seq, to_link, recorded_at)
    WHERE h.scope_id = m.scope_id AND h.class = m.class AND h.seq = m.from_seq AND h.link = m.from_link;
    GET DIAGNOSTICS moved = ROW_COUNT;
    IF moved <> cardinality(moves_scope) THEN RETURN false; END IF;

    IF cardinality(spans_seq) > 0 THEN
        INSERT INTO stanchion.audit_span (scope_id, class, part, first_seq)
        SELECT * FROM unnest(spans_scope, spans_class, spans_part, spans_seq)
        ON CONFLICT DO NOTHING;
    END IF;

    -- All of one length, so they go in step; in a FROM each would be gathered before it is read.
    INSERT INTO stanchion.audit_id (scope_id, event_id, seq, class)
    SELECT unnest(scope_ids), unnest(event_ids), unnest(seqs), unnest(classes);

    INSERT INTO stanchion.audit_entry (
        scope_id, class, part, seq, recorded_at, key_epoch, event_id, leaf, link, mac, canonical)
    SELECT
        unnest(scope_ids), unnest(classes), unnest(parts), unnest(seqs), unnest(recorded_ats), unnest(key_epochs),
        unnest(event_ids), unnest(leaves), unnest(links), unnest(macs), unnest(canonicals);
    RETURN true;
END
$$;
GRANT EXECUTE ON FUNCTION stanchion.audit_write TO stanchion_system;

-- Finds the part of a chain that has a number.
CREATE FUNCTION stanchion.audit_part_of(of_scope uuid, of_class smallint, of_seq bigint) RETURNS integer LANGUAGE sql STABLE AS $$
    SELECT part FROM stanchion.audit_span
    WHERE scope_id = of_scope AND class = of_class AND first_seq <= of_seq ORDER BY part DESC LIMIT 1
$$;
GRANT EXECUTE ON FUNCTION stanchion.audit_part_of TO stanchion_tenant, stanchion_system;

-- Finds the entry that has a number. The part is known before it is looked for, so one partition is.
CREATE FUNCTION stanchion.audit_get(of_scope uuid, of_class smallint, of_seq bigint) RETURNS SETOF stanchion.audit_entry
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    of_part integer := stanchion.audit_part_of(of_scope, of_class, of_seq);
BEGIN
    RETURN QUERY SELECT * FROM stanchion.audit_entry
        WHERE scope_id = of_scope AND class = of_class AND part = of_part AND seq = of_seq;
END
$$;
GRANT EXECUTE ON FUNCTION stanchion.audit_get TO stanchion_tenant, stanchion_system;

-- Writes a batch, or tells in rows why not: `fenced`; `moved`, with the chain and where it stands; `known`, with the place of the
-- entry in the batch and the entry that has its id. The caller commits only if there is no row.
CREATE FUNCTION stanchion.audit_append(
    writer bigint,
    moves_scope uuid[], moves_class smallint[], from_seq bigint[], from_link bytea[],
    to_seq bigint[], to_link bytea[], to_recorded_at timestamptz[],
    spans_scope uuid[], spans_class smallint[], spans_part integer[], spans_seq bigint[],
    scope_ids uuid[], classes smallint[], parts integer[], seqs bigint[], recorded_ats timestamptz[],
    key_epochs bigint[], event_ids uuid[], leaves bytea[], links bytea[], macs bytea[], canonicals bytea[]
) RETURNS TABLE (refusal text, place integer, scope_id uuid, class smallint, seq bigint, digest bytea, recorded_at timestamptz)
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off SET jit = off
AS $$
#variable_conflict use_column
BEGIN
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
    SELECT 'known', r.place::integer - 1, i.scope_id, i.class, i.seq, e.leaf, e.recorded_at
    FROM unnest(scope_ids, event_ids) WITH ORDINALITY AS r (scope_id, event_id, place)
    JOIN stanchion.audit_id AS i ON i.scope_id = r.scope_id AND i.event_id = r.event_id
    CROSS JOIN LATERAL stanchion.audit_get(i.scope_id, i.class, i.seq) AS e
    ORDER BY r.place;
    IF FOUND THEN RETURN; END IF;

    IF NOT stanchion.audit_write(
        writer, moves_scope, moves_class, from_seq, from_link, to_seq, to_link, to_recorded_at,
        spans_scope, spans_class, spans_part, spans_seq,
        scope_ids, classes, parts, seqs, recorded_ats, key_epochs, event_ids, leaves, links, macs, canonicals)
    THEN
        RAISE EXCEPTION 'a head that is held has moved';
    END IF;
END
$$;
GRANT EXECUTE ON FUNCTION stanchion.audit_append TO stanchion_system;

-- Reads the entries of a chain from a number on, up to a number.
CREATE FUNCTION stanchion.audit_read(of_scope uuid, of_class smallint, from_seq bigint, to_seq bigint, most bigint)
RETURNS SETOF stanchion.audit_entry LANGUAGE plpgsql STABLE SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    of_part integer;
    begins bigint;
    count bigint;
    missing bigint := most;
BEGIN
    -- What lies below the base is nobody's to read, whether it is still there or not.
    SELECT greatest(from_seq, h.base_seq + 1) INTO from_seq FROM stanchion.audit_head AS h
    WHERE h.scope_id = of_scope AND h.class = of_class;
    FOR of_part IN
        SELECT s.part FROM stanchion.audit_span AS s
        WHERE s.scope_id = of_scope AND s.class = of_class
          AND s.part >= coalesce(stanchion.audit_part_of(of_scope, of_class, from_seq), 0) AND s.first_seq <= to_seq
        ORDER BY s.part
    LOOP
        EXIT WHEN missing <= 0;
        RETURN QUERY SELECT * FROM stanchion.audit_entry
            WHERE scope_id = of_scope AND class = of_class AND part = of_part AND seq >= from_seq AND seq <= to_seq
            ORDER BY seq LIMIT missing;
        GET DIAGNOSTICS count = ROW_COUNT;
        missing := missing - count;
    END LOOP;
END
$$;
GRANT EXECUTE ON FUNCTION stanchion.audit_read TO stanchion_tenant, stanchion_system;

-- The same from the newest entry down.
CREATE FUNCTION stanchion.audit_read_back(of_scope uuid, of_class smallint, from_seq bigint, to_seq bigint, most bigint)
RETURNS SETOF stanchion.audit_entry LANGUAGE plpgsql STABLE SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    of_part integer;
    count bigint;
    missing bigint := most;
BEGIN
    -- What lies below the base is nobody's to read, whether it is still there or not.
    SELECT greatest(from_seq, h.base_seq + 1) INTO from_seq FROM stanchion.audit_head AS h
    WHERE h.scope_id = of_scope AND h.class = of_class;
    FOR of_part IN
        SELECT s.part FROM stanchion.audit_span AS s
        WHERE s.scope_id = of_scope AND s.class = of_class
          AND s.part >= coalesce(stanchion.audit_part_of(of_scope, of_class, from_seq), 0) AND s.first_seq <= to_seq
        ORDER BY s.part DESC
    LOOP
        EXIT WHEN missing <= 0;
        RETURN QUERY SELECT * FROM stanchion.audit_entry
            WHERE scope_id = of_scope AND class = of_class AND part = of_part AND seq >= from_seq AND seq <= to_seq
            ORDER BY seq DESC LIMIT missing;
        GET DIAGNOSTICS count = ROW_COUNT;
        missing := missing - count;
    END LOOP;
END
$$;
GRANT EXECUTE ON FUNCTION stanchion.audit_read_back TO stanchion_tenant, stanchion_system;

-- Finds the number of a chain's last entry that was recorded before an instant, 0 if there is none: by the months, then by halves.
CREATE FUNCTION stanchion.audit_last_before(of_scope uuid, of_class smallint, instant timestamptz) RETURNS bigint
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    base bigint;
    month integer;
    of_part integer;
    low bigint;
    high bigint;
    middle bigint;
BEGIN
    SELECT base_seq, seq INTO base, high FROM stanchion.audit_head WHERE scope_id = of_scope AND class = of_class;
    IF NOT FOUND THEN RETURN 0; END IF;
    IF instant < '1970-01-01T00:00:00Z' THEN RETURN base; END IF;
    month := to_char(instant AT TIME ZONE 'UTC', 'YYYYMM')::integer;
    SELECT coalesce(min(first_seq) - 1, high) INTO high FROM stanchion.audit_span
    WHERE scope_id = of_scope AND class = of_class AND part > month;
    FOR of_part, low IN
        SELECT part, greatest(first_seq, base + 1) FROM stanchion.audit_span
        WHERE scope_id = of_scope AND class = of_class AND part <= month ORDER BY part DESC
    LOOP
        CONTINUE WHEN low > high;
        IF (SELECT recorded_at < instant FROM stanchion.audit_entry
            WHERE scope_id = of_scope AND class = of_class AND part = of_part AND seq = low) THEN
            WHILE low < high LOOP
                middle := low + (high - low + 1) / 2;
                IF (SELECT recorded_at < instant FROM stanchion.audit_entry
                    WHERE scope_id = of_scope AND class = of_class AND part = of_part AND seq = middle) THEN
                    low := middle;
                ELSE
                    high := middle - 1;
                END IF;
            END LOOP;
            RETURN low;
        END IF;
        high := low - 1;
    END LOOP;
    RETURN base;
END
$$;
GRANT EXECUTE ON FUNCTION stanchion.audit_last_before TO stanchion_tenant;

-- Reads what queries look at of the entries of a chain from a number on.
CREATE FUNCTION stanchion.audit_search_read(of_scope uuid, of_class smallint, from_seq bigint, most bigint)
RETURNS SETOF stanchion.audit_search LANGUAGE plpgsql STABLE SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    of_part integer;
    count bigint;
    missing bigint := most;
BEGIN
    SELECT greatest(from_seq, h.base_seq + 1) INTO from_seq FROM stanchion.audit_head AS h
    WHERE h.scope_id = of_scope AND h.class = of_class;
    FOR of_part IN
        SELECT s.part FROM stanchion.audit_span AS s
        WHERE s.scope_id = of_scope AND s.class = of_class
          AND s.part >= coalesce(stanchion.audit_part_of(of_scope, of_class, from_seq), 0)
        ORDER BY s.part
    LOOP
        EXIT WHEN missing <= 0;
        RETURN QUERY SELECT * FROM stanchion.audit_search
            WHERE scope_id = of_scope AND class = of_class AND part = of_part AND seq >= from_seq
            ORDER BY seq LIMIT missing;
        GET DIAGNOSTICS count = ROW_COUNT;
        missing := missing - count;
    END LOOP;
END
$$;
GRANT EXECUTE ON FUNCTION stanchion.audit_search_read TO stanchion_tenant, stanchion_system;

-- Finds the newest entries of a chain between two numbers that may be asked for: by terms that all have to be there, or back through
-- what queries look at, whichever is less. Only the terms' index makes the first quick, and row-level security keeps tenants from using it:
-- the comparison of arrays might tell of what it compares. So the system asks, for one scope, and gets numbers, by which the tenant
-- then reads.
CREATE FUNCTION stanchion.audit_find(
    of_scope uuid, of_class smallint, from_seq bigint, to_seq bigint, wanted bigint[], family text, actions text[],
    of_outcome text, of_category text, severities text[], most bigint
) RETURNS SETOF bigint LANGUAGE plpgsql STABLE SET plan_cache_mode = force_custom_plan SET jit = off AS $$
DECLARE
    of_part integer;
    count bigint;
    missing bigint := most;
BEGIN
    FOR of_part IN
        SELECT s.part FROM stanchion.audit_span AS s
        WHERE s.scope_id = of_scope AND s.class = of_class
          AND s.part >= coalesce(stanchion.audit_part_of(of_scope, of_class, from_seq), 0) AND s.first_seq <= to_seq
        ORDER BY s.part DESC
    LOOP
        EXIT WHEN missing <= 0;
        RETURN QUERY SELECT s.seq FROM stanchion.audit_search AS s
            WHERE s.scope_id = of_scope AND s.class = of_class AND s.part = of_part AND s.seq >= from_seq AND s.seq <= to_seq
              AND (wanted = '{}' OR s.terms @> wanted)
              AND (family IS NULL OR starts_with(s.action, family))
              AND (actions IS NULL OR s.action = ANY (actions))
              AND (of_outcome IS NULL OR s.outcome = of_outcome)
              AND (of_category IS NULL OR s.category = of_category)
              AND (severities IS NULL OR s.severity = ANY (severities))
            ORDER BY s.seq DESC LIMIT missing;
        GET DIAGNOSTICS count = ROW_COUNT;
        missing := missing - count;
    END LOOP;
END
$$;
GRANT EXECUTE ON FUNCTION stanchion.audit_find TO stanchion_system;

-- What was written before. Search rows are made by whoever makes them for new entries.
-- The owner is held to row-level security as well.
ALTER TABLE stanchion.audit_entry_before NO FORCE ROW LEVEL SECURITY;
ALTER TABLE stanchion.audit_entry NO FORCE ROW LEVEL SECURITY;
ALTER TABLE stanchion.audit_id NO FORCE ROW LEVEL SECURITY;
ALTER TABLE stanchion.audit_span NO FORCE ROW LEVEL SECURITY;
DO $$
DECLARE
    month record;
BEGIN
    FOR month IN
        SELECT DISTINCT class, to_char(recorded_at AT TIME ZONE 'UTC', 'YYYYMM')::integer AS part FROM stanchion.audit_entry_before
        UNION
        SELECT class, to_char((now() + ahead * interval '1 month') AT TIME ZONE 'UTC', 'YYYYMM')::integer
        FROM generate_series(1, 3) AS class, generate_series(0, 2) AS ahead
    LOOP
        PERFORM stanchion.audit_add_parts(ARRAY[month.class::smallint], ARRAY[month.part]);
    END LOOP;
END
$$;
INSERT INTO stanchion.audit_entry (scope_id, class, part, seq, recorded_at, key_epoch, event_id, leaf, link, mac, canonical)
SELECT scope_id, class, to_char(recorded_at AT TIME ZONE 'UTC', 'YYYYMM')::integer, seq, recorded_at, key_epoch, event_id, leaf, link, mac, canonical
FROM stanchion.audit_entry_before ORDER BY scope_id, class, seq;
INSERT INTO stanchion.audit_id (scope_id, event_id, seq, class)
SELECT scope_id, event_id, seq, class FROM stanchion.audit_entry_before ORDER BY event_id, scope_id;
INSERT INTO stanchion.audit_span (scope_id, class, part, first_seq)
SELECT scope_id, class, part, min(seq) FROM stanchion.audit_entry GROUP BY 1, 2, 3;
ALTER TABLE stanchion.audit_entry FORCE ROW LEVEL SECURITY;
ALTER TABLE stanchion.audit_id FORCE ROW LEVEL SECURITY;
ALTER TABLE stanchion.audit_span FORCE ROW LEVEL SECURITY;
DROP TABLE stanchion.audit_entry_before;
