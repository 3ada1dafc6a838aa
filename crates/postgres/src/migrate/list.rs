use super::{MigrateError, Migration};

macro_rules! migrations {
    ($($domain:literal / $version:literal $file:literal;)+) => {
        /// Every step, in the order they are applied. A step is never changed once it was released; the next one corrects it.
        pub(crate) const MIGRATIONS: &[Migration] = &[$(Migration {
            domain: $domain,
            version: $version,
            name: $file.split_at(5).1,
            sql: include_str!(concat!("../../migrations/", $domain, "/", $file, ".sql")),
        }),+];
    };
}

migrations! {
    "core" / 1 "0001_create_foundation";
    "audit" / 1 "0001_create_ledger";
    "audit" / 2 "0002_create_trees";
    "audit" / 3 "0003_write_batches";
    "audit" / 4 "0004_partition_ledger";
    "audit" / 5 "0005_protect_values";
    "audit" / 6 "0006_create_holds";
    "audit" / 7 "0007_shard_writers";
    "audit" / 8 "0008_pack_entries";
    "audit" / 9 "0009_withdraw_words";
    "audit" / 10 "0010_commit_batches";
    "audit" / 11 "0011_return_refusals";
    "billing_metering" / 1 "0001_create_usage";
    "identity" / 1 "0001_create_keys";
    "ratelimit" / 1 "0001_create_rules";
    "ratelimit" / 2 "0002_create_controls";
    "ratelimit" / 3 "0003_create_counters";
    "ratelimit" / 4 "0004_create_entries";
    "rbac" / 1 "0001_create_roles";
    "rbac" / 2 "0002_complete_records";
    "rbac" / 3 "0003_find_expired";
    "rbac" / 4 "0004_find_grants";
    "tenancy" / 1 "0001_create_tenants";
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
        assert_eq!(domains, ["core", "rbac", "rbac", "rbac", "rbac"]);
        let error = of(Some("roles")).unwrap_err().to_string();
        assert!(error.starts_with("there is no domain `roles`: use one of core, "), "{error}");
    }
}
