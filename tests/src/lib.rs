//! End-to-end tests of the stanchion program live in `it/`.
