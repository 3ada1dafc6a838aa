-- Usage events, each counted once.

-- What tells an event from one that was here before: SHA-256 of its key and of its payload. It has a table of its own, since a unique
-- key cannot span the partitions of the events; what is older than the window is swept out.
CREATE TABLE stanchion.billing_metering_seen (
    scope_id uuid NOT NULL,
    key_hash bytea NOT NULL,
    payload_hash bytea NOT NULL,
    "time" timestamptz NOT NULL,
    PRIMARY KEY (scope_id, key_hash)
);
CREATE INDEX billing_metering_seen_time ON stanchion.billing_metering_seen ("time");
CALL stanchion.isolate('stanchion.billing_metering_seen', NULL, 'SELECT, INSERT, DELETE');

-- Every event from this instant on is remembered above. Who appends holds it still, so nothing is swept out and counted again.
CREATE TABLE stanchion.billing_metering_floor (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    floor timestamptz NOT NULL
);
INSERT INTO stanchion.billing_metering_floor (floor) VALUES ('0001-01-01T00:00:00Z');
CALL stanchion.isolate('stanchion.billing_metering_floor', NULL, 'SELECT, UPDATE');

CREATE SEQUENCE stanchion.billing_metering_number;
GRANT USAGE ON SEQUENCE stanchion.billing_metering_number TO stanchion_system;

-- One partition a month, by the time of the event. What has no partition yet is in the default one and is none the worse for it.
CREATE TABLE stanchion.billing_metering_event (
    scope_id uuid NOT NULL,
    meter text COLLATE "C" NOT NULL,
    "time" timestamptz NOT NULL,
    number bigint NOT NULL,
    source text NOT NULL,
    id text NOT NULL,
    subject text,
    value numeric NOT NULL,
    dimensions jsonb NOT NULL,
    received_at timestamptz NOT NULL,
    PRIMARY KEY (scope_id, meter, "time", number)
) PARTITION BY RANGE ("time");
CALL stanchion.isolate('stanchion.billing_metering_event', 'SELECT', 'SELECT, INSERT');

-- What the events of a quarter hour add up to. It is written with them, so it is never behind.
CREATE TABLE stanchion.billing_metering_sum (
    scope_id uuid NOT NULL,
    meter text COLLATE "C" NOT NULL,
    quarter timestamptz NOT NULL,
    events bigint NOT NULL,
    sum numeric NOT NULL,
    PRIMARY KEY (scope_id, meter, quarter)
) WITH (fillfactor = 70);
CALL stanchion.isolate('stanchion.billing_metering_sum', 'SELECT', 'SELECT, INSERT, UPDATE');

-- A partition is reached through its table only: named directly, nobody has a right to it, and no row of it is anybody's.
CREATE PROCEDURE stanchion.billing_metering_add_partition(name text, bounds text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TABLE stanchion.%I PARTITION OF stanchion.billing_metering_event %s', name, bounds);
    EXECUTE format('ALTER TABLE stanchion.%I ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('ALTER TABLE stanchion.%I FORCE ROW LEVEL SECURITY', name);
END
$$;
CALL stanchion.billing_metering_add_partition('billing_metering_event_default', 'DEFAULT');

-- Makes the partitions of the months from one instant to another, as the owner, who alone may: the one thing that the server has done
-- in the owner's name. A month of which there are events in the default partition stays there.
CREATE FUNCTION stanchion.billing_metering_add_months(from_time timestamptz, to_time timestamptz) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    month timestamptz := date_trunc('month', from_time);
    name text;
    made integer := 0;
BEGIN
    WHILE month <= to_time AND made < 36 LOOP
        name := 'billing_metering_event_' || to_char(month, 'YYYY_MM');
        IF to_regclass('stanchion.' || name) IS NULL THEN
            BEGIN
                CALL stanchion.billing_metering_add_partition(
                    name, format('FOR VALUES FROM (%L) TO (%L)', month, month + interval '1 month'));
                made := made + 1;
            EXCEPTION WHEN check_violation OR duplicate_table THEN NULL;
            END;
        END IF;
        month := month + interval '1 month';
    END LOOP;
    RETURN made;
END
$$;
REVOKE ALL ON FUNCTION stanchion.billing_metering_add_months FROM PUBLIC;
GRANT EXECUTE ON FUNCTION stanchion.billing_metering_add_months TO stanchion_system;
