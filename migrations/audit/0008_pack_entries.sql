-- Entries of a chain that one batch brings share rows: a row costs more than what is in it.
--
-- A row begins at `seq` and holds as many entries as `leaf` has digests of 32 bytes, all of one chain, one instant and one key; `link` and
-- `mac` have as many, and `canonical` has their bytes one after another. `event_id` is the first one's. Of each further entry `more` has 20
-- bytes: its id, and where its bytes begin in `canonical`, the greatest byte first. So what was written before is in rows of one entry as
-- it stands, and stays.
--
-- Servers of the version before cannot write once this has run, nor read what was written since.

ALTER TABLE stanchion.audit_entry ADD COLUMN more bytea;
DROP FUNCTION stanchion.audit_append;
DROP FUNCTION stanchion.audit_write;

-- A row is made to fit into a page of the table, so it is not to be cut up beside it.
DO $$
DECLARE
    name text;
BEGIN
    FOR name IN
        SELECT c.relname FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'stanchion.audit_entry'::regclass
    LOOP
        EXECUTE format('ALTER TABLE stanchion.%I SET (toast_tuple_target = 8160)', name);
    END LOOP;
END
$$;

-- As before, and rows of any size that fits stay in their partition.
CREATE OR REPLACE FUNCTION stanchion.audit_add_parts(classes smallint[], parts integer[]) RETURNS integer
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
            EXECUTE format('ALTER TABLE stanchion.%I SET (toast_tuple_target = 8160)', name);
            EXECUTE format('ALTER TABLE stanchion.%I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name);
            EXECUTE format('ALTER TABLE stanchion.%I ATTACH PARTITION stanchion.%I FOR VALUES FROM (%s, %s) TO (%s, %s)',
                           target, name, wanted.class, wanted.part, wanted.class, wanted.part + 1);
            made := made + 1;
        END LOOP;
    END LOOP;
    RETURN made;
END
$$;

-- Returns where the bytes of a row's entry begin, and for the one after the last where they all end.
CREATE FUNCTION stanchion.audit_begin(more bytea, n integer, size integer) RETURNS integer LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN n = 0 THEN 0
        WHEN 20 * n > coalesce(octet_length(more), 0) THEN size
        ELSE (get_byte(more, 20 * n - 4) << 24) | (get_byte(more, 20 * n - 3) << 16) | (get_byte(more, 20 * n - 2) << 8)
             | get_byte(more, 20 * n - 1)
    END
$$;

-- Reads the entries of a row, a row each.
CREATE FUNCTION stanchion.audit_unpack(packed stanchion.audit_entry) RETURNS SETOF stanchion.audit_entry LANGUAGE sql IMMUTABLE AS $$
    SELECT packed.scope_id, packed.seq + n, packed.recorded_at, packed.key_epoch, packed.part, packed.class,
           CASE WHEN n = 0 THEN packed.event_id ELSE encode(substring(packed.more FROM 20 * n - 19 FOR 16), 'hex')::uuid END,
           substring(packed.leaf FROM 32 * n + 1 FOR 32), substring(packed.link FROM 32 * n + 1 FOR 32),
           substring(packed.mac FROM 32 * n + 1 FOR 32),
           substring(packed.canonical FROM stanchion.audit_begin(packed.more, n, octet_length(packed.canonical)) + 1
                     FOR stanchion.audit_begin(packed.more, n + 1, octet_length(packed.canonical))
                         - stanchion.audit_begin(packed.more, n, octet_length(packed.canonical))),
           NULL::bytea
    FROM generate_series(0, octet_length(packed.leaf) / 32 - 1) AS n
$$;
GRANT EXECUTE ON FUNCTION stanchion.audit_unpack, stanchion.audit_begin TO stanchion_tenant, stanchion_system;

-- Finds the entry that has a number. The part is known before it is looked for, so one partition is.
CREATE OR REPLACE FUNCTION stanchion.audit_get(of_scope uuid, of_class smallint, of_seq bigint) RETURNS SETOF stanchion.audit_entry
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    of_part integer := stanchion.audit_part_of(of_scope, of_class, of_seq);
    packed stanchion.audit_entry;
BEGIN
    SELECT * INTO packed FROM stanchion.audit_entry
    WHERE scope_id = of_scope AND class = of_class AND part = of_part AND seq <= of_seq ORDER BY seq DESC LIMIT 1;
    IF octet_length(packed.leaf) = 32 AND packed.seq = of_seq THEN
        RETURN NEXT packed;
    ELSIF FOUND THEN
        RETURN QUERY SELECT * FROM stanchion.audit_unpack(packed) AS e WHERE e.seq = of_seq;
    END IF;
END
$$;

-- Reads the rows that have entries of a chain from a number on, up to a number, until there are so many entries. The first row and the last
-- may have others as well.
CREATE OR REPLACE FUNCTION stanchion.audit_read(of_scope uuid, of_class smallint, from_seq bigint, to_seq bigint, most bigint)
RETURNS SETOF stanchion.audit_entry LANGUAGE plpgsql STABLE SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    of_part integer;
    begins bigint;
    packed stanchion.audit_entry;
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
        begins := (SELECT seq FROM stanchion.audit_entry
            WHERE scope_id = of_scope AND class = of_class AND part = of_part AND seq <= from_seq ORDER BY seq DESC LIMIT 1);
        FOR packed IN
            SELECT * FROM stanchion.audit_entry
            WHERE scope_id = of_scope AND class = of_class AND part = of_part AND seq >= coalesce(begins, from_seq) AND seq <= to_seq
            ORDER BY seq LIMIT least(missing, 1000000) + 1
        LOOP
            CONTINUE WHEN packed.seq + octet_length(packed.leaf) / 32 <= from_seq;
            RETURN NEXT packed;
            missing := missing - (least(packed.seq + octet_length(packed.leaf) / 32 - 1, to_seq) - greatest(packed.seq, from_seq) + 1);
            EXIT WHEN missing <= 0;
        END LOOP;
    END LOOP;
END
$$;

-- The same from the newest entry down.
CREATE OR REPLACE FUNCTION stanchion.audit_read_back(of_scope uuid, of_class smallint, from_seq bigint, to_seq bigint, most bigint)
RETURNS SETOF stanchion.audit_entry LANGUAGE plpgsql STABLE SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    of_part integer;
    begins bigint;
    packed stanchion.audit_entry;
    missing bigint := most;
BEGIN
    SELECT greatest(from_seq, h.base_seq + 1) INTO from_seq FROM stanchion.audit_head AS h
    WHERE h.scope_id = of_scope AND h.class = of_class;
    FOR of_part IN
        SELECT s.part FROM stanchion.audit_span AS s
        WHERE s.scope_id = of_scope AND s.class = of_class
          AND s.part >= coalesce(stanchion.audit_part_of(of_scope, of_class, from_seq), 0) AND s.first_seq <= to_seq
        ORDER BY s.part DESC
    LOOP
        EXIT WHEN missing <= 0;
        begins := (SELECT seq FROM stanchion.audit_entry
            WHERE scope_id = of_scope AND class = of_class AND part = of_part AND seq <= from_seq ORDER BY seq DESC LIMIT 1);
        FOR packed IN
            SELECT * FROM stanchion.audit_entry
            WHERE scope_id = of_scope AND class = of_class AND part = of_part AND seq >= coalesce(begins, from_seq) AND seq <= to_seq
            ORDER BY seq DESC LIMIT missing
        LOOP
            EXIT WHEN packed.seq + octet_length(packed.leaf) / 32 <= from_seq;
            RETURN NEXT packed;
            missing := missing - (least(packed.seq + octet_length(packed.leaf) / 32 - 1, to_seq) - greatest(packed.seq, from_seq) + 1);
            EXIT WHEN missing <= 0;
        END LOOP;
    END LOOP;
END
$$;

-- Finds the number of a chain's last entry that was recorded before an instant, 0 if there is none: by the months, then by halves.
CREATE OR REPLACE FUNCTION stanchion.audit_last_before(of_scope uuid, of_class smallint, instant timestamptz) RETURNS bigint
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
            WHERE scope_id = of_scope AND class = of_class AND part = of_part AND seq <= low ORDER BY seq DESC LIMIT 1) THEN
            WHILE low < high LOOP
                middle := low + (high - low + 1) / 2;
                IF (SELECT recorded_at < instant FROM stanchion.audit_entry
                    WHERE scope_id = of_scope AND class = of_class AND part = of_part AND seq <= middle ORDER BY seq DESC LIMIT 1) THEN
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

-- Writes a batch that nothing stands against, without looking for what might: the chains are moved only from where the batch expects
-- them, and the key of ids refuses those that are known. Otherwise it returns false, or fails with a unique violation: the caller
-- rolls back, and `audit_append` tells why. Moves are in the order of their keys, so nobody waits in a circle. Spans are those that
-- the batch begins; ids are of every entry.
--
-- Plans are those for a batch of any size: each chain and id is looked up. A plan that reads whole tables, which Postgres prefers while
-- it takes them for small, costs as much as there are chains, and as many dead heads as the last vacuum left. What it must not use is
-- priced so high that a plan without choice would be compiled, for more than it takes to run.
CREATE FUNCTION stanchion.audit_write(
    of_shard smallint, writer bigint,
    moves_scope uuid[], moves_class smallint[], from_seq bigint[], from_link bytea[],
    to_seq bigint[], to_link bytea[], to_recorded_at timestamptz[],
    spans_scope uuid[], spans_class smallint[], spans_part integer[], spans_seq bigint[],
    ids_scope uuid[], ids_event uuid[], ids_seq bigint[], ids_class smallint[],
    scope_ids uuid[], classes smallint[], parts integer[], seqs bigint[], recorded_ats timestamptz[], key_epochs bigint[],
    event_ids uuid[], leaves bytea[], links bytea[], macs bytea[], canonicals bytea[], mores bytea[]
) RETURNS boolean
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off SET jit = off
AS $$
DECLARE
    moved bigint;
BEGIN
    -- A writer that takes the ledger for itself waits for this one, and this one sees it if it came first.
    IF (SELECT writer < least FROM stanchion.audit_writer WHERE shard = of_shard FOR SHARE) THEN RETURN false; END IF;

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
    SELECT unnest(ids_scope), unnest(ids_event), unnest(ids_seq), unnest(ids_class);

    INSERT INTO stanchion.audit_entry (
        scope_id, class, part, seq, recorded_at, key_epoch, event_id, leaf, link, mac, canonical, more)
    SELECT
        unnest(scope_ids), unnest(classes), unnest(parts), unnest(seqs), unnest(recorded_ats), unnest(key_epochs),
        unnest(event_ids), unnest(leaves), unnest(links), unnest(macs), unnest(canonicals), unnest(mores);
    RETURN true;
END
$$;
GRANT EXECUTE ON FUNCTION stanchion.audit_write TO stanchion_system;

-- Writes a batch, or tells in rows why not: `fenced`; `moved`, with the chain and where it stands; `known`, with the place of the
-- entry in the batch and the entry that has its id. The caller commits only if there is no row.
CREATE FUNCTION stanchion.audit_append(
    of_shard smallint, writer bigint,
    moves_scope uuid[], moves_class smallint[], from_seq bigint[], from_link bytea[],
    to_seq bigint[], to_link bytea[], to_recorded_at timestamptz[],
    spans_scope uuid[], spans_class smallint[], spans_part integer[], spans_seq bigint[],
    ids_scope uuid[], ids_event uuid[], ids_seq bigint[], ids_class smallint[],
    scope_ids uuid[], classes smallint[], parts integer[], seqs bigint[], recorded_ats timestamptz[], key_epochs bigint[],
    event_ids uuid[], leaves bytea[], links bytea[], macs bytea[], canonicals bytea[], mores bytea[]
) RETURNS TABLE (refusal text, place integer, scope_id uuid, class smallint, seq bigint, digest bytea, recorded_at timestamptz)
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off SET jit = off
AS $$
#variable_conflict use_column
BEGIN
    IF (SELECT writer < least FROM stanchion.audit_writer WHERE shard = of_shard FOR SHARE) THEN
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
    FROM unnest(ids_scope, ids_event) WITH ORDINALITY AS r (scope_id, event_id, place)
    JOIN stanchion.audit_id AS i ON i.scope_id = r.scope_id AND i.event_id = r.event_id
    CROSS JOIN LATERAL stanchion.audit_get(i.scope_id, i.class, i.seq) AS e
    ORDER BY r.place;
    IF FOUND THEN RETURN; END IF;

    IF NOT stanchion.audit_write(
        of_shard, writer, moves_scope, moves_class, from_seq, from_link, to_seq, to_link, to_recorded_at,
        spans_scope, spans_class, spans_part, spans_seq,
        ids_scope, ids_event, ids_seq, ids_class,
        scope_ids, classes, parts, seqs, recorded_ats, key_epochs, event_ids, leaves, links, macs, canonicals, mores)
    THEN
        RAISE EXCEPTION 'a head that is held has moved';
    END IF;
END
$$;
GRANT EXECUTE ON FUNCTION stanchion.audit_append TO stanchion_system;
