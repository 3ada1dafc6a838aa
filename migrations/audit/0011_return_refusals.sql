-- Writes a batch as `audit_commit` does, which servers of the version before call, and returns what stands against it instead of raising that: a
-- refusal is expected, and an error is in the log of the server whoever expects it. Nothing is written then, and nothing is returned of a batch
-- that was. `refused` says that a fence, a head or a known id is against it, `unpartitioned` that a partition is missing. The caller asks
-- `audit_append` for more.
CREATE FUNCTION stanchion.audit_offer(
    of_shard smallint, writer bigint,
    moves_scope uuid[], moves_class smallint[], from_seq bigint[], from_link bytea[],
    to_seq bigint[], to_link bytea[], to_recorded_at timestamptz[],
    spans_scope uuid[], spans_class smallint[], spans_part integer[], spans_seq bigint[],
    ids_scope uuid[], ids_event uuid[], ids_seq bigint[], ids_class smallint[],
    scope_ids uuid[], classes smallint[], parts integer[], seqs bigint[], recorded_ats timestamptz[], key_epochs bigint[],
    event_ids uuid[], leaves bytea[], links bytea[], macs bytea[], canonicals bytea[], mores bytea[]
) RETURNS text
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off SET jit = off
AS $$
DECLARE
    moved bigint;
BEGIN
    -- A writer that takes the ledger for itself waits for this one, and this one sees it if it came first.
    IF (SELECT writer < least FROM stanchion.audit_writer WHERE shard = of_shard FOR SHARE) THEN
        RETURN 'refused';
    END IF;

    -- What is raised in here is undone, and is in nobody's log.
    BEGIN
        IF 0 = ANY (from_seq) THEN
            INSERT INTO stanchion.audit_head (scope_id, class)
            SELECT m.scope_id, m.class FROM unnest(moves_scope, moves_class, from_seq) AS m (scope_id, class, seq)
            WHERE m.seq = 0
            ON CONFLICT DO NOTHING;
        END IF;

        UPDATE stanchion.audit_head AS h SET seq = m.to_seq, link = m.to_link, recorded_at = m.recorded_at
        -- All of one length, so they go in step; by functions in a FROM each would be gathered before it is read.
        FROM (SELECT unnest(moves_scope), unnest(moves_class), unnest(from_seq), unnest(from_link), unnest(to_seq), unnest(to_link),
                     unnest(to_recorded_at)) AS m (scope_id, class, from_seq, from_link, to_seq, to_link, recorded_at)
        WHERE h.scope_id = m.scope_id AND h.class = m.class AND h.seq = m.from_seq AND h.link = m.from_link;
        GET DIAGNOSTICS moved = ROW_COUNT;
        IF moved <> cardinality(moves_scope) THEN
            RAISE EXCEPTION 'a chain stands elsewhere' USING ERRCODE = 'STA01';
        END IF;

        IF cardinality(spans_seq) > 0 THEN
            INSERT INTO stanchion.audit_span (scope_id, class, part, first_seq)
            SELECT * FROM unnest(spans_scope, spans_class, spans_part, spans_seq)
            ON CONFLICT DO NOTHING;
        END IF;

        INSERT INTO stanchion.audit_id (scope_id, event_id, seq, class)
        SELECT unnest(ids_scope), unnest(ids_event), unnest(ids_seq), unnest(ids_class);

        INSERT INTO stanchion.audit_entry (
            scope_id, class, part, seq, recorded_at, key_epoch, event_id, leaf, link, mac, canonical, more)
        SELECT
            unnest(scope_ids), unnest(classes), unnest(parts), unnest(seqs), unnest(recorded_ats), unnest(key_epochs),
            unnest(event_ids), unnest(leaves), unnest(links), unnest(macs), unnest(canonicals), unnest(mores);
    EXCEPTION
        WHEN SQLSTATE 'STA01' OR unique_violation THEN
            RETURN 'refused';
        WHEN check_violation THEN
            RETURN 'unpartitioned';
    END;
    RETURN NULL;
END
$$;
GRANT EXECUTE ON FUNCTION stanchion.audit_offer TO stanchion_system;
