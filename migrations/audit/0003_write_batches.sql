-- Writes a batch that nothing stands against, without looking for what might: the chains are moved only from where the batch expects
-- them, and the index on ids refuses those that are known. Otherwise it returns false, or fails with a unique violation: the caller
-- rolls back, and `audit_append` tells why. Moves are in the order of their keys, so nobody waits in a circle.
--
-- Plans are those for a batch of any size: each chain and id is looked up. A plan that reads whole tables, which Postgres prefers while
-- it takes them for small, costs as much as there are chains, and as many dead heads as the last vacuum left. What it must not use is
-- priced so high that a plan without choice would be compiled, for more than it takes to run.
CREATE FUNCTION stanchion.audit_write(
    writer bigint,
    moves_scope uuid[], moves_class smallint[], from_seq bigint[], from_link bytea[],
    to_seq bigint[], to_link bytea[], to_recorded_at timestamptz[],
    scope_ids uuid[], classes smallint[], seqs bigint[], recorded_ats timestamptz[], links bytea[], macs bytea[],
    key_epochs bigint[], event_ids uuid[], leaves bytea[], canonicals bytea[], occurred_ats timestamptz[],
    actor_kinds text[], actor_ids text[], actor_methods text[], actor_keys uuid[], actions text[],
    categories text[], outcomes text[], severities text[], request_ids uuid[], target_lists text[]
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

    INSERT INTO stanchion.audit_entry (
        scope_id, class, seq, recorded_at, link, mac, key_epoch, event_id, leaf, canonical, occurred_at, actor_kind,
        actor_id, actor_method, actor_key, action, category, outcome, severity, request_id, targets)
    -- All of one length, so they go in step; in a FROM each would be gathered before it is read.
    SELECT
        unnest(scope_ids), unnest(classes), unnest(seqs), unnest(recorded_ats), unnest(links), unnest(macs),
        unnest(key_epochs), unnest(event_ids), unnest(leaves), unnest(canonicals), unnest(occurred_ats),
        unnest(actor_kinds), unnest(actor_ids), unnest(actor_methods), unnest(actor_keys), unnest(actions),
        unnest(categories), unnest(outcomes), unnest(severities), unnest(request_ids), unnest(target_lists);
    RETURN true;
END
$$;
GRANT EXECUTE ON FUNCTION stanchion.audit_write TO stanchion_system;

-- The same for what is asked when a batch was not written.
ALTER FUNCTION stanchion.audit_append SET plan_cache_mode = force_generic_plan;
ALTER FUNCTION stanchion.audit_append SET enable_hashjoin = off;
ALTER FUNCTION stanchion.audit_append SET enable_mergejoin = off;
ALTER FUNCTION stanchion.audit_append SET enable_seqscan = off;
ALTER FUNCTION stanchion.audit_append SET jit = off;
