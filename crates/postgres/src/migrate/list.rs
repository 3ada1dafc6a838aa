use super::{MigrateError, Migration};

macro_rules! migrations {
    ($($domain:literal / $version:literal $name:literal;)+) => {
        /// Every step, in the order they are applied. A step is never changed once it was released; the next one corrects it.
        pub(crate) const MIGRATIONS: &[Migration] = &[$(Migration {
            domain: $domain,
            version: $version,
            name: $name,
            sql: include_str!(concat!("../../migrations/", $domain, "/000", $version, "_", $name, ".sql")),
        }),+];
    };
}

migrations! {
    "core" / 1 "create_foundation";
    "audit" / 1 "create_ledger";
    "audit" / 2 "create_trees";
    "audit" / 3 "write_batches";
    "audit" / 4 "partition_ledger";
    "audit" / 5 "protect_values";
    "audit" / 6 "create_holds";
    "audit" / 7 "shard_writers";
    "audit" / 8 "pack_entries";
    "billing_metering" / 1 "create_usage";
    "identity" / 1 "create_keys";
    "ratelimit" / 1 "create_rules";
    "ratelimit" / 2 "create_controls";
    "ratelimit" / 3 "create_counters";
    "ratelimit" / 4 "create_entries";
    "rbac" / 1 "create_roles";
    "rbac" / 2 "complete_records";
    "rbac" / 3 "find_expired";
    "tenancy" / 1 "create_tenants";
}

/// Returns the steps of one domain and of the foundation, or of all.
pub(super) fn of(domain: Option<&str>) -> Result<Vec<Migration>, MigrateError> {
    let Some(domain) = domain else { return Ok(MIGRATIONS.to_vec()) };
    let wanted = |step: &&Migration| step.domain == "core" || step.domain == domain;
    let steps: Vec<Migration> = MIGRATIONS.iter().filter(wanted).copied().collect();
    if steps.iter().any(|step| step.domain == domain) {
        return Ok(steps);
    }
    let mut known: Vec<&str> = MIGRATIONS.iter().map(|step| step.domain).collect();
    known.dedup();
    Err(MigrateError::UnknownDomain { given: domain.to_owned(), known })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_comes_with_the_foundation() {
        let domains: Vec<_> = of(Some("rbac")).unwrap().iter().map(|step| step.domain).collect();
        assert_eq!(domains, ["core", "rbac", "rbac"]);
        let error = of(Some("roles")).unwrap_err().to_string();
        assert!(error.starts_with("there is no domain `roles`: use one of core, "), "{error}");
    }
}
