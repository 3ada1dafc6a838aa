//! The chains in the database of a configuration, without a server.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;

use stanchion_audit::{AnchorVerdict, BreakReason, Verdict, Verification};
use stanchion_core::{PageRequest, Scope, SystemScope, TenantId};

use super::anchors::{self, Anchored};
use crate::environment::Environment;
use crate::failure::{Exit, Failure};
use crate::serve;
use crate::wiring::Platform;

const SYSTEM: SystemScope = SystemScope::new("offline verification of the audit ledger");

/// Verifies the chains of a tenant, or of all of them and the platform, and says what was found. Goes on after a break, so that all are
/// told.
pub(crate) async fn verify(
    path: &Path,
    tenant: Option<&str>,
    anchored: &Anchored,
    environment: &Environment,
) -> Result<(), Failure> {
    let published = anchored.is_asked_for().then(|| anchored.read()).transpose()?;
    let config = serve::load(path, environment)?;
    if !config.storage.backend.is_durable() {
        let line = format!("`{}` keeps the ledger in memory: only its server can verify it", path.display());
        return Err(Failure::new(Exit::Input, line));
    }
    // What would run beside a server is not run: nothing is written.
    let (platform, _) = Platform::open(&config, path, environment).await?;
    let only = match tenant {
        Some(named) => Some(scope(&platform, named).await?),
        None => None,
    };
    let scopes = match only {
        Some(scope) => vec![scope],
        None => all(&platform).await?,
    };
    let (mut report, mut worst) = (String::new(), None);
    for scope in scopes {
        let found = platform.prover().verify(scope).await.map_err(|error| unreadable(&error))?;
        worst = worst.or(exit(&found));
        describe(&found, &mut report);
    }
    if let Some(published) = published {
        let witnesses = anchored.witnesses();
        let found = platform.prover().verify_published(&published, witnesses, only).await;
        match found.map_err(|error| unreadable(&error))? {
            Ok(compared) if compared.iter().all(|one| one.matching == 0) => {
                worst = worst.or(Some(Exit::Input));
                report.push_str("nothing that was published is of a log that is here\n");
            }
            Ok(compared) => {
                let _ = writeln!(report, "compared with what was published{}", anchors::said(&compared));
            }
            Err(found) => {
                let is_unverifiable = found.of_a_store() == AnchorVerdict::Unverifiable;
                worst = worst.or(Some(if is_unverifiable { Exit::Unverifiable } else { Exit::No }));
                let _ = writeln!(report, "broken: {}", anchors::lines(&found).join("\n  "));
            }
        }
    }
    if let Err(error) = io::stdout().write_all(report.as_bytes())
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        return Err(Failure::new(Exit::No, "cannot write the answer").because(&error));
    }
    worst.map_or(Ok(()), |exit| Err(Failure::told(exit)))
}

fn unreadable(error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::new(Exit::Unreachable, "the ledger cannot be read").because(error)
}

async fn scope(platform: &Platform, named: &str) -> Result<Scope, Failure> {
    if named == "platform" {
        return Ok(Scope::Platform);
    }
    if let Ok(id) = named.parse::<TenantId>() {
        return Ok(Scope::Tenant(id));
    }
    let unknown = || Failure::new(Exit::No, format!("there is no tenant `{named}`"));
    let slug = named.parse().map_err(|_| unknown())?;
    let found = platform.stores().tenants.by_slug(SYSTEM, &slug).await.map_err(|error| unreadable(&error))?;
    found.map(|tenant| Scope::Tenant(tenant.value.id)).ok_or_else(unknown)
}

/// The platform and every tenant. Chains of a scope that is neither are not looked for.
async fn all(platform: &Platform) -> Result<Vec<Scope>, Failure> {
    let mut scopes = vec![Scope::Platform];
    let mut request = PageRequest::first(PageRequest::MAX_LIMIT);
    loop {
        let page = platform.stores().tenants.list(SYSTEM, &request).await;
        let page = page.map_err(|error| unreadable(&error))?;
        scopes.extend(page.items.iter().map(|tenant| Scope::Tenant(tenant.value.id)));
        match page.next {
            Some(next) => request = PageRequest::first(PageRequest::MAX_LIMIT).after(next),
            None => return Ok(scopes),
        }
    }
}

fn exit(found: &Verification) -> Option<Exit> {
    let reason = found.first_break()?.reason;
    let needs_key = matches!(reason, BreakReason::UnknownKeyEpoch(_) | BreakReason::KeyDestroyed);
    Some(if needs_key { Exit::Unverifiable } else { Exit::No })
}

fn describe(found: &Verification, report: &mut String) {
    for (chain, verdict) in &found.chains {
        let _ = match verdict {
            Verdict::Intact { entries: 0, .. } => writeln!(report, "intact: {chain}: no entries"),
            Verdict::Intact { base, head, unsigned_to, .. } => {
                let unsigned = match unsigned_to {
                    0 => String::new(),
                    to => format!(
                        "\n  the signing keys of entries up to {to} are destroyed: their signatures need the root"
                    ),
                };
                let first = base.seq.saturating_add(1);
                writeln!(report, "intact: {chain}: entries {first} to {}{unsigned}", head.seq)
            }
            Verdict::Broken(found) => writeln!(report, "broken: {found}"),
        };
    }
}
