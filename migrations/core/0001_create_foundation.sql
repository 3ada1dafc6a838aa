-- What every record port rests on: the scope of a transaction, revisions, the change feed and the outbox.

-- The scope that a transaction works in; the nil UUID is the platform. Outside a TenantTx it is null, and no row is equal to that.
CREATE FUNCTION stanchion.scope() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE
    RETURN nullif(current_setting('stanchion.scope', true), '')::uuid;

GRANT EXECUTE ON FUNCTION stanchion.scope() TO stanchion_tenant, stanchion_system;

-- Shuts a table off: privileges say what a role may do, policies on which rows. Every table of the schema passes through here.
CREATE PROCEDURE stanchion.isolate(target regclass, tenant_may text, system_may text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', target);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', target);
    IF tenant_may IS NOT NULL THEN
        EXECUTE format('GRANT %s ON %s TO stanchion_tenant', tenant_may, target);
        EXECUTE format(
            'CREATE POLICY tenant ON %s TO stanchion_tenant USING (scope_id = stanchion.scope()) '
            'WITH CHECK (scope_id = stanchion.scope())', target);
    END IF;
    IF system_may IS NOT NULL THEN
        EXECUTE format('GRANT %s ON %s TO stanchion_system', system_may, target);
        EXECUTE format('CREATE POLICY system ON %s TO stanchion_system USING (true) WITH CHECK (true)', target);
    END IF;
END
$$;

-- How many changes the records of a domain have seen in a scope. Each change moves it, and so waits for the one before it.
CREATE TABLE stanchion.revision (
    scope_id uuid NOT NULL,
    domain text NOT NULL,
    revision bigint NOT NULL CHECK (revision > 0),
    PRIMARY KEY (scope_id, domain)
);
CALL stanchion.isolate('stanchion.revision', 'SELECT, INSERT, UPDATE', 'SELECT, INSERT, UPDATE');

-- The change feed. `id` is given while the scope's revision is held, so it orders the changes of a scope; `written_by` tells a
-- follower which changes it has not seen, whatever the order they were committed in.
CREATE TABLE stanchion.change (
    scope_id uuid NOT NULL,
    domain text NOT NULL,
    revision bigint NOT NULL,
    id bigint GENERATED ALWAYS AS IDENTITY,
    keys text[] NOT NULL,
    written_by xid8 NOT NULL DEFAULT pg_current_xact_id(),
    written_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (scope_id, domain, revision)
);
CREATE INDEX change_written_by ON stanchion.change (domain, written_by);
CREATE INDEX change_written_at ON stanchion.change (written_at);
CALL stanchion.isolate('stanchion.change', 'INSERT', 'SELECT, INSERT, DELETE');

-- How far the feed has been cut off: a follower that has not seen past this transaction has to start anew.
CREATE TABLE stanchion.feed_start (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    after xid8 NOT NULL
);
INSERT INTO stanchion.feed_start (after) VALUES ('0');
CALL stanchion.isolate('stanchion.feed_start', NULL, 'SELECT, UPDATE');

-- Events that were committed with a change and wait to be delivered, or were put aside because nobody could take them. The text is
-- the event as JSON.
CREATE TABLE stanchion.outbox (
    scope_id uuid NOT NULL,
    position bigint GENERATED ALWAYS AS IDENTITY,
    event text NOT NULL,
    written_at timestamptz NOT NULL DEFAULT now(),
    parked_at timestamptz,
    parked_because text,
    PRIMARY KEY (scope_id, position)
);
CREATE INDEX outbox_waiting ON stanchion.outbox (position) WHERE parked_at IS NULL;
CALL stanchion.isolate('stanchion.outbox', 'INSERT', 'SELECT, INSERT, UPDATE, DELETE');
