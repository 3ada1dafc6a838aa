use std::error::Error;

use stanchion_core::{Author, Scope, SubjectRef, TenantId};
use stanchion_identity::{NewKey, PlainKey};
use stanchion_pipeline::Engines;
use stanchion_ratelimit::{Dimension, Rule};
use stanchion_rbac::{Assignment, Role};
use stanchion_tenancy::NewTenant;

use crate::failure::{Exit, Failure};

/// Who there is in the quickstart.
#[derive(Debug)]
pub(crate) struct People {
    pub(crate) acme: TenantId,
    pub(crate) alice: PlainKey,
    pub(crate) bob: PlainKey,
    pub(crate) carol: PlainKey,
}

/// Makes two tenants, two roles, three users with a key each, and a limit that one tenant has set itself.
pub(crate) async fn people(engines: &Engines) -> Result<People, Failure> {
    seed(engines)
        .await
        .map_err(|error| Failure::new(Exit::No, "the quickstart could not be set up").because(&*error))
}

async fn seed(engines: &Engines) -> Result<People, Box<dyn Error>> {
    let author = Author::system("quickstart");
    let tenant = async |slug: &str, name: &str, tier: &str| {
        let new = NewTenant { slug: slug.parse()?, name: name.parse()?, tier: tier.parse()? };
        Ok::<_, Box<dyn Error>>(engines.tenancy.create(&author, new).await?.value.id)
    };
    let acme = tenant("acme", "Acme & Co.", "professional").await?;
    let globex = tenant("globex", "Globex", "basic").await?;

    // Roles of the platform may be assigned in every tenant.
    let role = async |id: &str, name: &str, permission: &str| {
        let role = Role::new(id.parse()?, name.parse()?).with_permissions([permission.parse()?]);
        engines.rbac.put_role(&author, Scope::Platform, role, None).await?;
        Ok::<_, Box<dyn Error>>(())
    };
    role("admin", "Administrator", "*:*").await?;
    role("viewer", "Viewer", "report:read").await?;

    let user = async |tenant: TenantId, name: &'static str, role: &str| {
        let subject = SubjectRef::user(name)?;
        let assignment = Assignment::new(subject.clone(), role.parse()?);
        engines.rbac.assign(&author, tenant.into(), assignment).await?;
        let new = NewKey {
            scope: tenant.into(),
            subject,
            name: format!("{name}'s key").parse()?,
            environment: None,
            expires_at: None,
            cidrs: Vec::new(),
        };
        Ok::<_, Box<dyn Error>>(engines.identity.issue(&author, new).await?.1)
    };
    let alice = user(acme, "alice", "admin").await?;
    let bob = user(acme, "bob", "viewer").await?;
    let carol = user(globex, "carol", "admin").await?;

    let rule = Rule::new("acme-users".parse()?, Dimension::User, 120, "1m".parse()?);
    engines.ratelimit.put_rule(&author, acme.into(), rule, None).await?;
    Ok(People { acme, alice, bob, carol })
}
