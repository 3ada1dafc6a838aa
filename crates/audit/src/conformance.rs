//! The suites of [`LedgerStore`](crate::LedgerStore), [`TreeStore`](crate::TreeStore) and [`ObjectStore`](crate::ObjectStore): every adapter passes them, ours and yours.
//!
//! The factory returns a store without entries that keeps at least 4,096 entries of each chain. The suite's tests are `tokio::test`s
//! with four workers, so your crate's dev-dependencies need tokio with `macros` and `rt-multi-thread`.
//!
//! [`Intercepted`] is a store with something before it that fails calls or alters what is read, for tests of what works with a store.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a suite fails by panicking"
)]

pub mod anchor;
mod cases;
mod cuts;
mod fixture;
pub mod hold_store;
mod intercepted;
mod model;
pub mod object_store;
mod pitfalls;
mod races;
mod search;
pub mod subject_key_store;
pub mod tree_store;
mod withdrawals;

pub use fixture::Fixture;
pub use intercepted::{Answer, Call, Intercept, Intercepted, Pending};

macro_rules! suite {
    ($dollar:tt $($module:ident { $($case:ident)+ })+) => {
        $(pub use $module::{$($case),+};)+

        /// The names of all cases.
        pub const CASES: &[&str] = &[$($(stringify!($case)),+),+];

        /// Runs the suite of `LedgerStore`: `ledger_store_conformance!(mod memory_ledger_store, factory());`, where the factory is an
        /// expression that returns a future of an `Arc<dyn LedgerStore>`.
        #[macro_export]
        macro_rules! ledger_store_conformance {
            (mod $dollar name:ident, $dollar factory:expr) => {
                mod $dollar name {
                    use super::*;
                    $($(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                    async fn $case() {
                        let fixture = $crate::conformance::Fixture::new($dollar factory.await);
                        $crate::conformance::$case(fixture).await;
                    })+)+
                }
            };
        }
    };
}

suite! { $
    cases {
        empty_store_has_empty_heads
        rows_read_back_as_written
        a_batch_moves_several_chains
        all_chains_are_listed_in_pages
        reading_is_bounded_and_in_order
        a_moved_head_leaves_no_trace
        one_moved_head_refuses_the_whole_batch
        a_known_id_leaves_no_trace
        an_id_is_known_in_its_own_scope_only
        scopes_are_kept_apart
        an_exclusive_writer_shuts_out_those_before
        an_exclusive_writer_shuts_nobody_out_of_other_shards
        the_number_of_shards_is_settled_by_the_first
        shared_writers_do_not_shut_out
        queries_answer_what_matches
        queries_return_newest_first_in_stable_pages
        stored_chains_verify
        behaves_as_the_reference
    }
    pitfalls {
        times_keep_their_last_microsecond
        bytes_that_a_json_column_would_write_anew_stay_as_they_are
        a_batch_that_follows_a_head_of_long_ago_forks_nothing
        the_order_is_that_of_numbers_whatever_times_and_ids_say
        a_clock_that_was_set_back_hides_nothing
    }
    cuts {
        what_is_cut_off_is_read_by_nobody_and_the_rest_verifies
        a_chain_is_cut_only_from_the_base_that_was_expected
        a_chain_that_was_cut_to_its_head_goes_on
        racing_cuts_have_one_winner
    }
    search {
        events_are_found_by_type_session_trace_and_words
        queries_see_what_was_not_projected
        projectors_at_once_leave_nothing_out
    }
    withdrawals {
        what_is_withdrawn_is_found_by_no_word_of_it
        what_is_written_or_projected_later_brings_no_word_back
        words_are_withdrawn_in_their_scope_and_as_far_as_is_said
        the_record_of_an_erasure_withdraws_when_it_is_projected
        racing_projectors_leave_no_withdrawn_word
    }
    races {
        racing_writers_win_one_at_a_time
        racing_batches_of_one_head_have_one_winner
        racing_batches_of_one_id_have_one_winner
    }
}
