//! Tenants, their status and their life cycle
