use casbin::{CoreApi, DefaultModel, Enforcer, MemoryAdapter, MgmtApi};
use stanchion_core::SubjectRef;
use stanchion_rbac::{Permission, RoleId};

use crate::draw::{Drawn, Question, counts};
use crate::ours::runtime;

/// Its own model of roles with domains and of denials, together; patterns by its own function.
pub(crate) const MODEL: &str = "
[request_definition]
r = sub, dom, obj, act
[policy_definition]
p = sub, dom, obj, act, eft
[role_definition]
g = _, _, _
[policy_effect]
e = some(where (p.eft == allow)) && !some(where (p.eft == deny))
[matchers]
m = g(r.sub, p.sub, r.dom) && r.dom == p.dom && keyMatch(r.obj, p.obj) && keyMatch(r.act, p.act)
";

/// An enforcer that knows a drawn world.
pub(crate) struct Casbin(Enforcer);

impl Casbin {
    pub(crate) fn new(drawn: &Drawn) -> Self {
        let (mut policies, mut links) = (Vec::new(), Vec::new());
        for (number, tenant) in drawn.tenants.iter().enumerate() {
            let domain = domain(number);
            let mut policy = |subject: String, permission: &Permission, effect: &str| {
                let (object, action) = (permission.resource().to_owned(), permission.action().to_owned());
                policies.push(vec![subject, domain.clone(), object, action, effect.to_owned()]);
            };
            let mut link = |from: String, to: String| links.push(vec![from, to, domain.clone()]);
            for (by_platform, role) in tenant.all_roles(&drawn.platform).filter(|(_, role)| role.active) {
                for permission in &role.permissions {
                    policy(node(by_platform, &role.id), permission, "allow");
                }
                for included in &role.includes {
                    if let Some((to, included)) = tenant.meant(&drawn.platform, by_platform, included) {
                        link(node(by_platform, &role.id), node(to, &included.id));
                    }
                }
            }
            for held in tenant.assignments.iter().filter(|one| counts(one.not_before, one.expires_at)) {
                if let Some((to, role)) = tenant.meant(&drawn.platform, false, &held.role) {
                    link(held.subject.to_string(), node(to, &role.id));
                }
            }
            for membership in tenant.memberships.iter().filter(|one| counts(one.not_before, one.expires_at)) {
                link(membership.member.to_string(), membership.group.to_string());
            }
            for grant in tenant.grants.iter().filter(|one| counts(one.not_before, one.expires_at)) {
                policy(grant.subject.to_string(), &grant.permission, "allow");
            }
            for denial in &tenant.denials {
                policy(denial.subject.to_string(), &denial.permission, "deny");
            }
        }
        Self::with(policies, links)
    }

    /// An enforcer that knows so much and no more.
    pub(crate) fn with(mut policies: Vec<Vec<String>>, mut links: Vec<Vec<String>>) -> Self {
        // It refuses all of several rules if one of them stands there twice.
        for rules in [&mut policies, &mut links] {
            rules.sort_unstable();
            rules.dedup();
        }
        runtime().block_on(async {
            let model = DefaultModel::from_str(MODEL).await.unwrap();
            let mut enforcer = Enforcer::new(model, MemoryAdapter::default()).await.unwrap();
            assert!(policies.is_empty() || enforcer.add_policies(policies).await.unwrap());
            assert!(links.is_empty() || enforcer.add_grouping_policies(links).await.unwrap());
            Self(enforcer)
        })
    }

    pub(crate) fn check(&self, question: &Question<'_>) -> bool {
        self.permits(question.user, question.tenant, &question.permission)
    }

    pub(crate) fn permits(&self, user: &SubjectRef, tenant: usize, wanted: &Permission) -> bool {
        let asked =
            (user.to_string(), domain(tenant), wanted.resource().to_owned(), wanted.action().to_owned());
        self.0.enforce(asked).unwrap()
    }
}

pub(crate) fn domain(tenant: usize) -> String {
    format!("t{tenant}")
}

pub(crate) fn node(by_platform: bool, role: &RoleId) -> String {
    format!("{}/{role}", if by_platform { "platform" } else { "own" })
}
