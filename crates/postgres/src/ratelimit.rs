//! Rate-limit rules.
