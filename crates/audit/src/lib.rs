//! A tamper-evident audit ledger
