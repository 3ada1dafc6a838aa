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
//! | `producer`? | text `producer/boot/number`: a name, the uuid of one of its runs, and the number it gave the event, dense from 1 within run and scope |
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
//! # Protected values
//!
//! A value of `details`, or a recorded value of `changes`, may be a protected one: an object whose `sealed` is `stanchion.sealed/v1`.
//! Whatever begins with `stanchion.sealed/` is reserved for this.
//!
//! | field | value |
//! |---|---|
//! | `absent`? | `withheld`: the keys were away, and the value was never recorded. Then there is nothing else |
//! | `cipher` | `A256GCM`: AES-256-GCM, a nonce of 96 and a tag of 128 bits |
//! | `ciphertext` | base64url without padding: ciphertext and tag |
//! | `index`? | the word that the value is found by: `ix` and 32 lower-case hexadecimal digits |
//! | `key` | uuid of the data key |
//! | `nonce` | base64url without padding, 12 bytes |
//! | `sealed` | `stanchion.sealed/v1` |
//!
//! What is encrypted is the value in the canonical form of details, filled up with spaces to a multiple of 32 bytes. With `lp(x)` for the
//! bytes of `x` after their number as `u32`, uuids as 16 bytes, and HMAC for HMAC-SHA256:
//!
//! ```text
//! class key  = HMAC(data key,  "stanchion-class-key-v1" ‖ lp(class))
//! field key  = HMAC(class key, "stanchion-field-key-v1" ‖ lp(field))
//! additional = "stanchion-field-v1" ‖ lp(scope) ‖ lp(class) ‖ lp(event id) ‖ lp(field) ‖ lp(side) ‖ lp(key) ‖ lp(cipher)
//! nonce      = the first 12 bytes of HMAC(field key, "stanchion-nonce-v1" ‖ lp(additional) ‖ lp(value))
//! ciphertext = AES-256-GCM under HMAC(field key, "stanchion-seal-key-v1")
//! index      = the first 16 bytes of HMAC(index key, "stanchion-blind-index-v1" ‖ lp(field) ‖ lp(value as text))
//! ```
//!
//! `field` is `details.` and names with dots between, or `changes.` and the field; `side` is `before` or `after` for changes, else empty.
//! The address and the user agent of the source, if protected, stand in the details as `source_ip` and `source_user_agent`. A value as
//! text is a text without white space around it and in lower case, a number in decimal, or `true` or `false`.
//!
//! A data key is 32 random bytes for a scope, a subject and the month of `occurred_at` in UTC; the index key of a scope is made and kept in
//! the same way. It is stored as nonce and ciphertext, AES-256-GCM under HMAC(secret of the version, "stanchion-subject-key-wrap-v1" ‖
//! lp(scope)), with additional data "stanchion-wrapped-key-v1" ‖ lp(scope) ‖ lp(subject) ‖ lp(month) ‖ lp(id) ‖ lp(node) ‖ lp(u32 version).
//!
//! Verification does not look into protected values: what is signed is the ciphertext. Where its keys are destroyed, the value is erased.
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
//! # Rotation of keys
//!
//! `audit.key_rotated` in the platform's security chain says that a key took another's place. `key` is `signing` or `checkpoint`.
//!
//! ```text
//! commitment = HMAC-SHA256(new key, "stanchion-key-commitment-v1")
//! vouched    = HMAC-SHA256(old key, "stanchion-rotation-v1" ‖ u32 old epoch ‖ u32 new epoch ‖ commitment)
//! ```
//!
//! `from` and `to` are the epochs of a signing key. `vouched` is left out when the old key was no longer in the ring. Of a checkpoint key
//! they are verifier keys in the name of the platform's security log, the old one its id alone when it was no longer in the ring, and
//! `note` is a signed note of both keys over four lines: `stanchion-checkpoint-rotation-v1`, the origin, `from` and `to`. Who trusts the
//! old key may trust the new one ([`verify_key_change`](crate::verify_key_change)).
//!
//! # Producers' numbers
//!
//! Whoever makes events may number them, so that one which never arrived is missed: `producer` is `<producer>/<boot>/<number>`. The numbers
//! are dense, from 1, within one run of the producer and one scope, over all classes. What was made and not recorded is declared in the
//! scope's `audit.events_refused`: in the producer's name, with `ranges` such as `4,9-11`. Events that may be offered again, from an outbox
//! or by a reporter, are not numbered by the ledger, since they have to be the same bytes then.
//!
//! # Bundles
//!
//! A bundle is entries in a file together with what proves them: `stanchion.audit.bundle/v1`. It is JSON lines, UTF-8, one object a
//! line, each line ended by a line feed, the last one too, and of at most 256 KiB. Each object has one name, which tells what it is.
//! A line has one spelling: no white space, names in the order below, the shortest escapes.
//!
//! | line | fields |
//! |---|---|
//! | `manifest`, the first | `format`, `scope`, `exported_at`, `class` or `null`, `query` or `null`: filters by name |
//! | `log`, one for each chain, in order | `chain`, `checkpoint`: the signed note, `verifier_keys`, `base` or `null` |
//! | `entry` | `chain`, `seq`, `recorded_at`, `link`, `mac`, `key_epoch`, `canonical`, `proof`? |
//! | `end`, the last | `chains`: list of `chain`, `entries`, `newer`; `sha256` |
//!
//! * Digests are 64 lower-case hexadecimal digits. `canonical` is a text whose UTF-8 is the canonical event, verbatim; its leaf, and so
//!   all else, follows from it.
//! * **Whole chains** (`query` is `null`): after its `log` come the chain's entries from the oldest kept to the checkpoint's size, without
//!   gaps. They are linked, and their leaves rebuild the root. If the oldest is not entry 1, `base` is what stands before it: `seq`,
//!   `link` and `recorded_at` of the entry before, and `tree`, the roots of the complete subtrees that the first `seq` leaves consist
//!   of, the largest first.
//! * **A query**: after all logs come the entries, by time of recording, class and number, greatest first. Each has in `proof` the hashes
//!   of its proof of inclusion (RFC 9162 §2.1.3), leaf side first. Entries of other chains than those with a `log` there are none.
//! * Entries that no checkpoint covers are left out; `newer` counts them.
//! * `sha256` is over every byte before the `end` line. Anybody can compute it: it finds damage, not malice.
//!
//! Proven by a verifier key are the events, their numbers, and of whole chains that none is missing up to the checkpoint. `recorded_at`,
//! `link` and `mac` are proven only for whole chains and only to who has the ledger's secret. Not proven are the manifest, that a query
//! left nothing out, that there is no other chain, and that nothing is newer than the checkpoint. `verifier_keys` are there to compare
//! with; trust in a key comes from elsewhere.
//!
//! # Bundles as events of OCSF
//!
//! The same bundle as events of OCSF 1.8.0 is `stanchion.audit.ocsf/v2`: JSON lines of at most 1 MiB, each an event that the published
//! schema finds valid, the names of every object in the order of their bytes. The bundle's line stands in `unmapped.stanchion`; of an
//! `entry` without `canonical`, which stands in `raw_data`. Entries are events of the class that their action says; all other lines are
//! events of the base class. Nothing but the entry, the one before it and its log decides what its event is, so a verifier makes it again and
//! compares byte by byte: an event that tells something else than the file is found. `sha256` is over the bytes of the file as it is. For the rest, what is
//! proven is what a bundle proves.
//!
//! | field of OCSF | value |
//! |---|---|
//! | `raw_data` | the canonical event, verbatim |
//! | `metadata.uid`, `sequence`, `log_name`, `tenant_uid` | the event's id, the entry's number, its chain, the scope |
//! | `metadata.logged_time`, `time`, `original_time` | `recorded_at` and `occurred_at` in milliseconds; `occurred_at` in full |
//! | `metadata.correlation_uid` | the request, else the trace |
//! | `unmapped.attestation` | `fingerprint` (the leaf), `chain_uid`, `authority_uid`, `uid`, `prev_event`, `signatures` |
//! | … `prev_event` | `uid`, `type_uid` and `fingerprint` of the chain's entry before, if the line before has it: not of a query, nor at the front |
//! | … `signatures` | the entry's own, and one for each key that signed its chain's checkpoint |
//!
//! OCSF 1.8.0 has neither the profile `record_integrity` nor the object `attestation` that the schema's next version has. So the object
//! stands in `unmapped` under the names it has there. A digital signature of OCSF has a place for what was signed and none for the
//! signature: `digest` is the link, of which `mac` in `unmapped.stanchion` is the signature, or the checkpoint's root, whose signed note
//! stands in its log's line. `developer_uid` names the key: chain and epoch, or name and id of the verifier key. `algorithm_id` is 99.
//!
//! `stanchion.audit.ocsf/v1` is the same without `prev_event` and `signatures`. It is verified, and no longer written.
//!
//! # What is detected
//!
//! Altering any byte of an entry, taking one out of the middle, exchanging or putting in entries breaks the chain at that entry.
//! Somebody who can also write all hashes anew still has no signature. Cutting entries off the end together with the head leaves a
//! chain that is shorter and intact: what shows it is a [`Receipt`](crate::Receipt) or an earlier
//! [`Verdict::Intact`](crate::Verdict::Intact) that was kept elsewhere, the chain's checkpoint, and a running sequencer, which records
//! `audit.entries_lost`. Whoever takes away the checkpoint as well is shown by a checkpoint that was kept elsewhere, and by the platform's
//! security log, which records the checkpoints of all others as `audit.checkpointed`; that log is the one that is published to
//! anchors, so that all others are compared with what an anchor holds through it.
//! The same holds for the front, where entries may also have been dropped in due course.
