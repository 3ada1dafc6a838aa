//! What is asked of the database: the statements that every connection has prepared.

/// A statement as a connection knows it.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) name: &'static str,
    types: &'static str,
    pub(super) sql: &'static str,
}

/// The present, in microseconds.
macro_rules! clock {
    () => {
        "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
    };
}

/// Locks counters in the order of their keys, and reads each when nobody else has it. The last row has no key, but the time after that.
///
/// Whatever the planner believes of the table, there is one way to do this: key by key, by the primary key.
pub(super) static TAKE: Prepared = Prepared {
    name: "stanchion_take",
    types: "uuid, boolean, bytea[]",
    sql: concat!(
        "SELECT c.key, c.at, c.used, c.held::text AS held, NULL::bigint AS clock \
         FROM (SELECT asked.key FROM unnest($3) AS asked (key) ORDER BY asked.key) AS k \
         CROSS JOIN LATERAL (\
             SELECT r.key, r.at, r.used, r.held FROM stanchion.ratelimit_counter AS r \
             WHERE r.scope_id = $1 AND r.edge = $2 AND r.key = k.key FOR NO KEY UPDATE) AS c \
         UNION ALL SELECT NULL, NULL, NULL, NULL, ",
        clock!()
    ),
};

/// Reads counters as they are at one moment, and the time.
pub(super) static LOOK: Prepared = Prepared {
    name: "stanchion_look",
    types: "uuid, boolean, bytea[]",
    sql: concat!(
        "SELECT c.key, c.at, c.used, c.held::text AS held, NULL::bigint AS clock \
         FROM unnest($3) AS k (key) \
         CROSS JOIN LATERAL (\
             SELECT r.key, r.at, r.used, r.held FROM stanchion.ratelimit_counter AS r \
             WHERE r.scope_id = $1 AND r.edge = $2 AND r.key = k.key OFFSET 0) AS c \
         UNION ALL SELECT NULL, NULL, NULL, NULL, ",
        clock!()
    ),
};

/// Looks into the logs and leases of counters: what has ended since the last look that wrote, when the last entry ends, and when so many
/// have that no more than `spare` is held. The time is the caller's, or one for all of them, after the last counter was had.
///
/// It is a statement of its own, since one that waits for a row does not see what others have written to another table meanwhile.
pub(super) static ENTRIES: Prepared = Prepared {
    name: "stanchion_entries",
    types: "uuid, boolean, bigint, bytea[], bigint[]",
    sql: concat!(
        "WITH m AS MATERIALIZED (SELECT coalesce($3, ",
        clock!(),
        ") AS now) \
         SELECT k.key AS log, m.now, e.entries AS ended, e.amount::text AS ended_amount, \
                l.until AS clear_at, f.until AS fits_at \
         FROM m CROSS JOIN unnest($4, $5) AS k (key, spare) \
         CROSS JOIN LATERAL (\
             SELECT coalesce(r.at, -9223372036854775808) AS at, coalesce(r.held, 0) AS held \
             FROM stanchion.ratelimit_counter AS r \
             WHERE r.scope_id = $1 AND r.edge = $2 AND r.key = k.key OFFSET 0) AS c \
         CROSS JOIN LATERAL (\
             SELECT count(*) AS entries, coalesce(sum(r.amount), 0) AS amount \
             FROM stanchion.ratelimit_entry AS r WHERE r.scope_id = $1 AND r.edge = $2 AND r.key = k.key \
             AND r.until > c.at AND r.until <= m.now) AS e \
         LEFT JOIN LATERAL (\
             SELECT r.until \
             FROM stanchion.ratelimit_entry AS r WHERE r.scope_id = $1 AND r.edge = $2 AND r.key = k.key \
             AND r.until > m.now ORDER BY r.until DESC LIMIT 1) AS l ON true \
         CROSS JOIN LATERAL (SELECT c.held - e.amount - k.spare AS excess OFFSET 0) AS x \
         CROSS JOIN LATERAL (\
             SELECT min(s.until) AS until FROM (\
                 SELECT r.until, sum(r.amount) OVER (ORDER BY r.until, r.id ROWS UNBOUNDED PRECEDING) AS given_back \
                 FROM stanchion.ratelimit_entry AS r WHERE r.scope_id = $1 AND r.edge = $2 AND r.key = k.key \
                 AND r.until > m.now ORDER BY r.until, r.id \
                 LIMIT least(greatest(coalesce(x.excess, 0), 0), 1000000000)::bigint) AS s \
             WHERE s.given_back >= x.excess) AS f"
    ),
};

/// Finds what a call has charged to logs and leases.
pub(super) static OWN: Prepared = Prepared {
    name: "stanchion_own",
    types: "uuid, boolean, uuid",
    sql: "SELECT key AS own, until, id, amount::text AS amount FROM stanchion.ratelimit_entry \
          WHERE scope_id = $1 AND edge = $2 AND id = $3 ORDER BY until",
};

/// Writes counters that were taken. It never makes one, but says so in the way that has one plan only.
pub(super) static WRITE: Prepared = Prepared {
    name: "stanchion_write",
    types: "uuid, boolean, bytea[], bigint[], bigint[], text[], bigint[]",
    sql: "INSERT INTO stanchion.ratelimit_counter AS c (scope_id, edge, key, at, used, held, fresh_at) \
          SELECT $1, $2, w.key, w.at, w.used, w.held::numeric, w.fresh_at \
          FROM unnest($3, $4, $5, $6, $7) AS w (key, at, used, held, fresh_at) \
          ON CONFLICT (scope_id, edge, key) DO UPDATE SET \
          at = excluded.at, used = excluded.used, held = excluded.held, fresh_at = excluded.fresh_at",
};

/// Makes counters that were not there, in the order of their keys, or fails when one is there by now.
pub(super) static MAKE: Prepared = Prepared {
    name: "stanchion_make",
    types: "uuid, boolean, bytea[], bigint[], bigint[], text[], bigint[]",
    sql: "INSERT INTO stanchion.ratelimit_counter (scope_id, edge, key, at, used, held, fresh_at) \
          SELECT $1, $2, w.key, w.at, w.used, w.held::numeric, w.fresh_at \
          FROM unnest($3, $4, $5, $6, $7) AS w (key, at, used, held, fresh_at) ORDER BY w.key",
};

/// Removes the entries of a counter that have ended, after one time and until another.
pub(super) static PRUNE: Prepared = Prepared {
    name: "stanchion_prune",
    types: "uuid, boolean, bytea, bigint, bigint",
    sql: "DELETE FROM stanchion.ratelimit_entry \
          WHERE scope_id = $1 AND edge = $2 AND key = $3 AND until > $4 AND until <= $5",
};

/// Adds an entry, to the one that is there when a call without a name ends as another does.
pub(super) static ADD: Prepared = Prepared {
    name: "stanchion_add",
    types: "uuid, boolean, bytea, bigint, uuid, text",
    sql: "INSERT INTO stanchion.ratelimit_entry AS e (scope_id, edge, key, until, id, amount) \
          VALUES ($1, $2, $3, $4, $5, $6::numeric) \
          ON CONFLICT (scope_id, edge, key, until, id) DO UPDATE SET amount = e.amount + excluded.amount",
};

/// Changes what an entry takes.
pub(super) static SET: Prepared = Prepared {
    name: "stanchion_set",
    types: "uuid, boolean, bytea, bigint, uuid, text",
    sql: "UPDATE stanchion.ratelimit_entry SET amount = $6::numeric \
          WHERE scope_id = $1 AND edge = $2 AND key = $3 AND until = $4 AND id = $5",
};

/// Removes an entry.
pub(super) static REMOVE: Prepared = Prepared {
    name: "stanchion_remove",
    types: "uuid, boolean, bytea, bigint, uuid",
    sql: "DELETE FROM stanchion.ratelimit_entry \
          WHERE scope_id = $1 AND edge = $2 AND key = $3 AND until = $4 AND id = $5",
};

/// Forgets a counter.
pub(super) static FORGET: Prepared = Prepared {
    name: "stanchion_forget",
    types: "uuid, boolean, bytea",
    sql: "DELETE FROM stanchion.ratelimit_counter WHERE scope_id = $1 AND edge = $2 AND key = $3",
};

/// Remembers a call.
pub(super) static HOLD: Prepared = Prepared {
    name: "stanchion_hold",
    types: "uuid, boolean, uuid, bigint, bigint",
    sql: "INSERT INTO stanchion.ratelimit_hold (scope_id, edge, id, until, ends_at) VALUES ($1, $2, $3, $4, $5) \
          ON CONFLICT (scope_id, edge, id) DO UPDATE SET until = excluded.until, ends_at = excluded.ends_at",
};

/// Forgets a call that is remembered still, and returns a row of one column if it was.
pub(super) static RELEASE: Prepared = Prepared {
    name: "stanchion_release",
    types: "uuid, boolean, uuid, bigint",
    sql: concat!(
        "DELETE FROM stanchion.ratelimit_hold WHERE scope_id = $1 AND edge = $2 AND id = $3 AND until > coalesce($4, ",
        clock!(),
        ") RETURNING true AS released"
    ),
};

/// Prepares all of them on a connection, as the role that will call them.
pub(super) fn preparing() -> String {
    let all =
        [&TAKE, &LOOK, &ENTRIES, &OWN, &WRITE, &MAKE, &PRUNE, &ADD, &SET, &REMOVE, &FORGET, &HOLD, &RELEASE];
    let prepare = |Prepared { name, types, sql }: &Prepared| format!("PREPARE {name} ({types}) AS {sql}; ");
    let all: String = all.into_iter().map(prepare).collect();
    format!("SET ROLE stanchion_tenant; {all}RESET ROLE")
}
