//! The suites of [`RuleStore`](crate::RuleStore) and [`CounterStore`](crate::CounterStore): every adapter passes them, ours and yours.
//!
//! ```text
//! stanchion_ratelimit::counter_store_conformance!(mod outside_counter_store, fresh_counter_store());
//! ```
//!
//! The factory is an expression that returns a future of an empty store; each case calls it once. The crate that runs a suite needs
//! tokio with `macros` and `rt-multi-thread`.

#![expect(clippy::expect_used, reason = "a suite fails by panicking")]

/// Turns a list of cases into functions, the list of their names, and the macro that makes a test of each.
macro_rules! suite {
    (
        $dollar:tt
        $(#[$macro_doc:meta])* $macro:ident, $module:ident, $fixture_type:ty;
        $($(#[$doc:meta])* $case:ident: $fixture:pat => $body:block)+
    ) => {
        /// The names of all cases.
        pub const CASES: &[&str] = &[$(stringify!($case)),+];

        $($(#[$doc])* pub async fn $case($fixture: $fixture_type) $body)+

        $(#[$macro_doc])*
        #[macro_export]
        macro_rules! $macro {
            (mod $dollar name:ident, $dollar factory:expr) => {
                mod $dollar name {
                    use super::*;
                    $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                    async fn $case() { $crate::conformance::$module::$case($dollar factory.await).await; })+
                }
            };
        }
    };
}

pub mod counter_store;
pub mod rule_store;
