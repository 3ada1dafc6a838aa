//! Counters of Stanchion in Redis or Valkey.
