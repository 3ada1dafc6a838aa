//! The formats, version 1: everything an auditor needs to verify a chain with tools of their own.
//!
//! They never change; a later version has other names and stands beside this one.
//!
//! # The canonical event
//!
//! A JSON document in the canonical form of RFC 8785 (UTF-8, no white space, names in the order of their UTF-16 code units, the
//! shortest escapes), with these fields:
//!
//! | field | value |
//! |---|---|
//! | `acted_as`? | text such as `user:bob`: whom the actor acted as |
//! | `action` | text |
//! | `actor` | `{"type":"subject","subject":"user:alice","method":"api_key","key":uuid?}`, `{"type":"system","name":text}` or `{"type":"anonymous"}` |
//! | `authorization`? | list of `{"by":text?,"granted":boolean,"permission":text,"resource":text?}`, `by` and `resource` as `type/id` |
//! | `category` | `access` `authentication` `administration` `security` `data_access` `billing` `system` |
//! | `changes`? | list of `{"after":recorded?,"before":recorded?,"field":text}`, each recorded value `{"value":…}`, written as in `details`, or `"redacted"` |
//! | `correlation`? | object of `parent`? uuid, `request`? uuid, `session`? text, `trace`? text |
//! | `details`? | object of `null`, booleans, integers, texts, lists and objects |
//! | `id` | uuid |
//! | `occurred_at` | time |
//! | `outcome` | `success` `denied` `failure` `error` `unknown` |
//! | `reason`? | text |
//! | `reported`? | `true` when the actor reported the event: what it says is the actor's word, but for scope and actor |
//! | `schema` | `stanchion.audit/v1` |
//! | `scope` | `platform` or the tenant's uuid |
//! | `severity` | `info` `notice` `warning` `high` `critical` |
//! | `source`? | object of `ip`? text (RFC 5952 for version 6), `user_agent`? text |
//! | `targets`? | list of texts `type/id` |
//!
//! * A field marked `?` is left out when it has no value; an object or list of the schema is left out when it is empty. There is no
//!   `null` but inside `details` and the values of `changes`, which are written as they are.
//! * Times are RFC 3339 in UTC with six fraction digits, `2026-03-01T12:00:00.000000Z`. UUIDs are hyphenated, in lower case.
//! * Numbers are integers within ±(2^53 − 1), which every JSON reader keeps. There are no fractions.
//! * Details nest at most [`MAX_DEPTH`](crate::MAX_DEPTH) deep; the whole has at most
//!   [`MAX_EVENT_BYTES`](crate::MAX_EVENT_BYTES) bytes.
//!
//! An event has one canonical form, and the canonical form is stored verbatim: what is verified is what was signed, not something
//! made again from columns.
//!
//! # Entries
//!
//! A chain is a scope's events of one [`RetentionClass`](crate::RetentionClass). Its id is the text `<scope>/<class>`. Entries are
//! numbered from 1 without gaps. With `‖` for concatenation, `u16`, `u32`, `u64`, `i64` big-endian, and `chain` the bytes of the
//! chain's id after their length as `u16`:
//!
//! ```text
//! leaf = SHA-256(0x00 ‖ canonical)                                                     (RFC 6962 §2.1)
//! link = SHA-256("stanchion-link-v1" ‖ chain ‖ u64 seq ‖ i64 recorded_at ‖ link before ‖ leaf)
//! mac  = HMAC-SHA256(key of the epoch, "stanchion-mac-v1" ‖ u32 epoch ‖ chain ‖ u64 seq ‖ link)
//! ```
//!
//! Before entry 1 the link is 32 zero bytes.
//!
//! `recorded_at`, in microseconds since 1970, is when the sequencer took the event. It belongs to the entry, not to the event: the
//! link covers it, and with the link the signature. So an event that is offered again is the same event, whenever that happens, and
//! its leaf tells so. Within a chain `recorded_at` never decreases.
//!
//! The signature covers the number and the link, and so can be checked without the event.
//!
//! # Trees and checkpoints
//!
//! The leaves of a chain are also the leaves of a Merkle tree as RFC 6962 §2.1 has it: entry `n` is leaf `n − 1`. Proofs of inclusion
//! and consistency are those of RFC 9162 §2.1.3 and §2.1.4; hashes are kept and served in tiles of 256 (C2SP tlog-tiles).
//!
//! A checkpoint is a signed note (C2SP signed-note, tlog-checkpoint) with three lines: the origin `<deployment>/<scope>/<class>`, the
//! number of entries, and the root in base64. The name of its key is the origin. Keys are Ed25519, and the seed of each is
//!
//! ```text
//! seed = HMAC-SHA256(secret of the version, "stanchion-checkpoint-key-v1")
//! ```
//!
//! A proof of one event is a C2SP tlog-proof whose extra data is the canonical event.
//!
//! # What is detected
//!
//! Altering any byte of an entry, taking one out of the middle, exchanging or putting in entries breaks the chain at that entry.
//! Somebody who can also write all hashes anew still has no signature. Cutting entries off the end together with the head leaves a
//! chain that is shorter and intact: what shows it is a [`Receipt`](crate::Receipt) or an earlier
//! [`Verdict::Intact`](crate::Verdict::Intact) that was kept elsewhere, the chain's checkpoint, and a running sequencer, which records
//! `audit.entries_lost`. Whoever takes away the checkpoint as well is shown by a checkpoint that was kept elsewhere, and by the platform's
//! ledger, which records the checkpoints of tenants as `audit.checkpointed`.
//! The same holds for the front, where entries may also have been dropped in due course.
