use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderMap;
use stanchion_audit::Draft;
use stanchion_core::{
    Actor, Authorization, Category, Event, Outcome, Principal, Problem, ProblemCode, RequestId, ResourceRef,
    Scope, Severity, Source, TenantId, Text, Timestamp,
};
use stanchion_identity as identity;
use stanchion_rbac::CheckRequest;
use stanchion_tenancy::TenantStatus;

use crate::call::Parameters;
use crate::failure::Failure;
use crate::operation::{Access, On};
use crate::state::Api;

/// A caller that may do what it asks for.
pub(crate) struct Authorized {
    pub(crate) principal: Arc<Principal>,
    /// Where.
    pub(crate) scope: Scope,
    pub(crate) authorization: Authorization,
}

/// A request whose caller is not known yet.
pub(crate) struct Attempt<'a> {
    pub(crate) api: &'a Api,
    pub(crate) operation: &'static str,
    pub(crate) access: &'a Access,
    pub(crate) request: RequestId,
    pub(crate) at: Timestamp,
    pub(crate) ip: IpAddr,
    pub(crate) method: &'a http::Method,
    pub(crate) uri_path: &'a str,
}

impl Attempt<'_> {
    /// Finds out who calls and which scope the operation works in, and lets pass only who may do it there.
    ///
    /// The permission is looked for in the scope of the credential. So what a tenant grants its own people opens no other tenant and
    /// nothing of the platform's; and whom the platform lets do something may do it in any tenant it names.
    pub(crate) async fn authorize(
        &self,
        headers: &HeaderMap,
        path: &[(String, String)],
        query: &mut Parameters,
    ) -> Result<Authorized, Failure> {
        let principal = self.authenticate(headers).await?;
        if let Scope::Tenant(tenant) = principal.scope {
            self.require_active(&principal, tenant).await?;
        }
        let scope = self.scope(&principal, path, query)?;
        let authorization = self.require_permission(&principal).await?;
        if let (Scope::Platform, Scope::Tenant(tenant), On::Scope) = (principal.scope, scope, self.access.on)
        {
            let known = self.api.state.pipeline.engines().tenancy.status(tenant).await?;
            known.ok_or_else(|| Failure::not_found(format!("there is no tenant {tenant}")))?;
        }
        Ok(Authorized { principal, scope, authorization })
    }

    async fn authenticate(&self, headers: &HeaderMap) -> Result<Arc<Principal>, Failure> {
        let presented = stanchion_pipeline::presented_credential(headers).map_err(|problem| {
            self.reject(problem.code, "two_credentials");
            Failure::from(problem)
        })?;
        let Some(presented) = presented else {
            self.reject(ProblemCode::Unauthenticated, "no_credential");
            let detail = "send an API key as `authorization: Bearer …` or `x-api-key`";
            return Err(Failure::new(ProblemCode::Unauthenticated, detail));
        };
        let outcome =
            self.api.state.pipeline.engines().identity.authenticate(presented, Some(self.ip)).await?;
        match outcome {
            identity::Outcome::Authenticated(principal) => Ok(principal),
            identity::Outcome::Rejected(rejection) => {
                self.reject(ProblemCode::Unauthenticated, rejection.reason.as_str());
                Err(ProblemCode::Unauthenticated.into())
            }
        }
    }

    /// Counts a caller that could not be made out. The platform's ledger gets a summary per source, so a flood cannot fill it.
    fn reject(&self, code: ProblemCode, why: &'static str) {
        self.api.counts.unauthenticated(why);
        self.api.state.pipeline.count_rejection(self.ip, code, why, self.at);
    }

    async fn require_active(&self, principal: &Principal, tenant: TenantId) -> Result<(), Failure> {
        let status = self.api.state.pipeline.engines().tenancy.status(tenant).await?;
        if status.is_some_and(TenantStatus::is_served) {
            Ok(())
        } else {
            Err(self.deny(principal, ProblemCode::TenantInactive.into(), "tenant_inactive"))
        }
    }

    /// Finds the scope the operation works in. What a tenant's principal may not reach it is refused without a look whether it is there.
    fn scope(
        &self,
        principal: &Principal,
        path: &[(String, String)],
        query: &mut Parameters,
    ) -> Result<Scope, Failure> {
        let named: Option<Scope> = match self.access.on {
            On::Platform => Some(Scope::Platform),
            On::PathTenant => {
                let id = path.iter().find(|(name, _)| name == "id").map_or("", |(_, value)| value);
                Some(Scope::Tenant(id.parse().map_err(|error| self.malformed(principal, error))?))
            }
            On::Scope => {
                let named = query.take("tenant").map(|tenant| tenant.parse());
                named.transpose().map_err(|error| self.malformed(principal, error))?
            }
        };
        match (principal.scope, named) {
            (Scope::Platform, Some(scope)) => Ok(scope),
            (Scope::Platform, None) => {
                let detail =
                    "parameter `tenant`: name the tenant by its id, or `platform` for the platform itself";
                Err(Failure::invalid(detail))
            }
            (own @ Scope::Tenant(_), named) if named.is_none_or(|named| named == own) => Ok(own),
            (Scope::Tenant(_), Some(Scope::Platform)) => {
                let problem =
                    Problem::new(ProblemCode::Forbidden, "this is for administrators of the platform");
                Err(self.deny(principal, problem, "platform_only"))
            }
            (Scope::Tenant(_), _) => {
                let problem =
                    Problem::new(ProblemCode::Forbidden, "the credential belongs to another tenant");
                Err(self.deny(principal, problem, "other_tenant"))
            }
        }
    }

    /// A tenant that cannot be is another one to a tenant's principal.
    fn malformed(&self, principal: &Principal, error: stanchion_core::InvalidId) -> Failure {
        match principal.scope {
            Scope::Platform => Failure::invalid(error.to_string()),
            Scope::Tenant(_) => {
                let problem =
                    Problem::new(ProblemCode::Forbidden, "the credential belongs to another tenant");
                self.deny(principal, problem, "other_tenant")
            }
        }
    }

    async fn require_permission(&self, principal: &Principal) -> Result<Authorization, Failure> {
        let permission = &self.access.permission;
        let check = CheckRequest::new(principal.scope, &principal.subject, permission);
        let decision = self.api.state.pipeline.engines().rbac.check(&check).await?;
        let name = permission.shared();
        let by = decision.role.and_then(|role| ResourceRef::new("role", role.shared()).ok());
        if decision.allowed {
            return Ok(Authorization::granted(name).with_decider(by));
        }
        let detail = format!("`{}` lacks the permission `{permission}`", principal.subject);
        let problem = Problem::new(ProblemCode::Forbidden, detail);
        let authorization = Authorization::denied(name).with_decider(by);
        Err(self.refuse(principal, problem, decision.reason.as_str(), Some(authorization)))
    }

    /// Refuses a caller that is known, and records it in the caller's ledger.
    fn deny(&self, principal: &Principal, problem: Problem, why: &'static str) -> Failure {
        self.refuse(principal, problem, why, None)
    }

    fn refuse(
        &self,
        principal: &Principal,
        problem: Problem,
        why: &'static str,
        authorization: Option<Authorization>,
    ) -> Failure {
        let (state, scope) = (&self.api.state, principal.scope);
        let id = state.ids.event_id(self.at);
        let actor = Actor::from(principal);
        let mut event = Event::new(id, self.at, scope, actor, "operation.denied", Category::Access);
        event.targets.extend(ResourceRef::new("operation", self.operation));
        event.authorization.extend(authorization);
        event.outcome = Outcome::Denied;
        event.severity = Severity::Notice;
        event.reason = Some(problem.code.as_str().into());
        event.correlation.request = Some(self.request);
        event.source = Source { ip: Some(self.ip), user_agent: None };
        event.details.push("method", Text::from(self.method.as_str().to_owned()));
        event.details.push("path", Text::from(self.uri_path.chars().take(1_000).collect::<String>()));
        event.details.push("why", why);
        event.details.push("permission", self.access.permission.as_str().to_owned());
        if state.pipeline.engines().audit.submit(scope, Draft::Event(event)).is_err() {
            self.api.counts.unrecorded();
        }
        problem.into()
    }
}
