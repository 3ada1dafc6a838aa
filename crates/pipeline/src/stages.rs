mod limits;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use stanchion_audit::Draft;
use stanchion_core::{
    Actor, Principal, Problem, ProblemCode, RequestId, ResourceRef, Scope, TenantId, Text, Timestamp,
};
use stanchion_identity as identity;
use stanchion_ratelimit::{self as ratelimit, Charged};
use stanchion_rbac as rbac;
use stanchion_tenancy::TenantStatus;
use stanchion_tower::{RateLimitFields, Refusal, TENANT_ID};

use self::limits::{attributes, limits_request};
use crate::exchange::{Access as AccessRecord, Checked, State};
use crate::{Access, AuditMode, Exchange, Matched, Pipeline, RequestHead, Route, credential};

/// A request as far as it is known, on its way through the stages.
struct Request<'a> {
    head: &'a RequestHead<'a>,
    id: RequestId,
    at: Timestamp,
}

/// A refusal that is being made.
struct Denial {
    problem: Problem,
    rate_limit: Box<RateLimitFields>,
    allow: Option<String>,
}

impl From<Problem> for Denial {
    fn from(problem: Problem) -> Self {
        Self { problem, rate_limit: Box::default(), allow: None }
    }
}

impl From<ProblemCode> for Denial {
    fn from(code: ProblemCode) -> Self {
        Problem::from(code).into()
    }
}

/// A request whose caller is known.
#[derive(Clone, Copy)]
struct Known<'a> {
    request: &'a Request<'a>,
    route: &'a Arc<Route>,
    principal: &'a Principal,
}

impl Pipeline {
    /// Decides a request. From memory it does not wait; a look-up that misses waits for its store.
    ///
    /// # Errors
    /// The refusal, ready to be answered.
    pub async fn decide(&self, head: &RequestHead<'_>) -> Result<Exchange, Box<Refusal>> {
        let (id, at) = self.new_request();
        let request = Request { head, id, at };
        self.stages(&request).await.map_err(|denial| {
            Box::new(Refusal {
                problem: denial.problem,
                rate_limit: *denial.rate_limit,
                request: id,
                at,
                allow: denial.allow,
            })
        })
    }

    async fn stages(&self, request: &Request<'_>) -> Result<Exchange, Denial> {
        let route = self.route(request)?;
        let mut charged = Charged::new(&self.inner.engines.ratelimit);
        let edge = self.edge_limits(request, &route, &mut charged).await?;
        if route.config().access == Access::Public {
            charged.wait(edge.delay, &*self.inner.clock, &*self.inner.timer).await;
            return self.admit(request, route, None, (edge, charged), None);
        }
        let principal = self.authenticate(request, &route).await?;
        let known = Known { request, route: &route, principal: &principal };
        let tenant = self.tenant(&known).await?;
        let limits = self.limits(&known, tenant, &mut charged).await?;
        let checked = match self.authorize(&known).await {
            Ok(checked) => checked,
            Err(denial) => {
                let attributes = attributes(request);
                let asked = limits_request(request, &route, &attributes, Some((tenant, &principal)));
                return Err(self.with_limits(denial, &limits, &asked));
            }
        };
        if request.head.content_length.is_some_and(|length| length > route.config().max_body_bytes) {
            let limit = route.config().max_body_bytes;
            let detail = format!("route `{}` takes bodies of at most {limit} bytes", route.id());
            return Err(self.deny(
                &known,
                Problem::new(ProblemCode::PayloadTooLarge, detail),
                "body_too_large",
            ));
        }
        // What is refused above does not wait, and what waits is still to find a place for its records.
        charged.wait(limits.delay.max(edge.delay), &*self.inner.clock, &*self.inner.timer).await;
        self.admit(request, route, Some(principal), (limits, charged), checked)
    }

    fn route(&self, request: &Request<'_>) -> Result<Arc<Route>, Denial> {
        let head = request.head;
        match self.inner.routes.load().find(head.host, head.path, head.method) {
            Matched::Route(route) => Ok(route),
            Matched::MethodNotAllowed(methods) => {
                let mut names: Vec<&str> = methods.iter().map(http::Method::as_str).collect();
                names.sort_unstable();
                names.dedup();
                let allow = Some(names.join(", "));
                Err(Denial {
                    allow,
                    ..self.reject(request, None, ProblemCode::MethodNotAllowed.into(), "method")
                })
            }
            Matched::Nothing => Err(self.reject(request, None, ProblemCode::NoRoute.into(), "no_route")),
        }
    }

    async fn authenticate(&self, request: &Request<'_>, route: &Route) -> Result<Arc<Principal>, Denial> {
        let unauthenticated =
            |why| self.reject(request, Some(route), ProblemCode::Unauthenticated.into(), why);
        let presented = credential::presented(request.head.headers)
            .map_err(|problem| self.reject(request, Some(route), problem, "two_credentials"))?;
        let presented = presented.ok_or_else(|| unauthenticated("no_credential"))?;
        let engine = &self.inner.engines.identity;
        let outcome = match engine.try_authenticate(presented, Some(request.head.ip)) {
            Some(outcome) => outcome,
            None => engine
                .authenticate(presented, Some(request.head.ip))
                .await
                .map_err(|error| self.failed(request, Some(route), "authentication", &error))?,
        };
        match outcome {
            identity::Outcome::Authenticated(principal) => Ok(principal),
            identity::Outcome::Rejected(rejection) => Err(unauthenticated(rejection.reason.as_str())),
        }
    }

    async fn tenant(&self, known: &Known<'_>) -> Result<TenantId, Denial> {
        let Scope::Tenant(tenant) = known.principal.scope else {
            let detail = "a platform credential serves the admin API; use a tenant's key here";
            return Err(self.deny(
                known,
                Problem::new(ProblemCode::Forbidden, detail),
                "platform_credential",
            ));
        };
        if let Some(confirmed) = known.request.head.headers.get(TENANT_ID) {
            let same = confirmed.to_str().ok().and_then(|text| text.parse().ok()) == Some(tenant);
            if !same {
                let detail = "x-tenant-id does not name the tenant of the credential";
                return Err(self.deny(
                    known,
                    Problem::new(ProblemCode::Forbidden, detail),
                    "tenant_mismatch",
                ));
            }
        }
        let engine = &self.inner.engines.tenancy;
        let status = match engine.try_status(tenant) {
            Some(status) => status,
            None => engine
                .status(tenant)
                .await
                .map_err(|error| self.failed(known.request, Some(known.route), "tenancy", &error))?,
        };
        if status.is_some_and(TenantStatus::is_served) {
            Ok(tenant)
        } else {
            Err(self.deny(known, ProblemCode::TenantInactive.into(), "tenant_inactive"))
        }
    }

    /// Returns what permits the request, if the route asks for a permission.
    async fn authorize(&self, known: &Known<'_>) -> Result<Option<Checked>, Denial> {
        let Some(permission) = &known.route.config().permission else { return Ok(None) };
        let principal = known.principal;
        let resource = known.route.resource(known.request.head.path);
        let mut check = rbac::CheckRequest::new(principal.scope, &principal.subject, permission);
        check.resource = resource.as_ref();
        let engine = &self.inner.engines.rbac;
        let decision = match engine.try_check(&check) {
            Some(decision) => decision,
            None => engine
                .check(&check)
                .await
                .map_err(|error| self.failed(known.request, Some(known.route), "authorization", &error))?,
        };
        let role = decision.role.map(|role| Text::from(role.shared()));
        let resource = resource.and_then(|one| ResourceRef::new(one.kind.shared(), one.id?).ok());
        let checked = Checked { granted: decision.allowed, role, resource };
        if decision.allowed {
            return Ok(Some(checked));
        }
        let mut detail = format!("`{}` lacks the permission `{permission}`", principal.subject);
        if let Some(resource) = &checked.resource {
            detail.push_str(&format!(" on `{resource}`"));
        }
        let problem = Problem::new(ProblemCode::Forbidden, detail);
        Err(self.refuse(known, problem, decision.reason.as_str(), Some(checked)))
    }

    /// Takes the places of the records and lets the request go on.
    fn admit(
        &self,
        request: &Request<'_>,
        route: Arc<Route>,
        principal: Option<Arc<Principal>>,
        (limits, charged): (ratelimit::Decision, Charged),
        checked: Option<Checked>,
    ) -> Result<Exchange, Denial> {
        let tenant = principal.as_ref().and_then(|principal| principal.tenant());
        let scope = tenant.map_or(Scope::Platform, Scope::Tenant);
        let overloaded = |what: &'static str| {
            route.stats().refused(ProblemCode::Overloaded);
            Denial::from(Problem::new(ProblemCode::Overloaded, what))
        };
        let audited = match route.config().audit {
            AuditMode::All => true,
            AuditMode::Denied => false,
            AuditMode::Sampled => request.id.uuid().as_u128().is_multiple_of(100),
        };
        let records = audited.then(|| self.inner.engines.audit.reserve(scope)).transpose();
        let records = records.map_err(|_| overloaded("the audit ledger takes no more records just now"))?;
        let mut usage = Vec::new();
        if let Some(tenant) = tenant {
            for _ in &route.config().meters {
                let place = self.inner.engines.metering.reserve(tenant);
                usage.push(place.map_err(|_| overloaded("metering takes no more usage just now"))?);
            }
        }
        let access = self.access(request, &route, principal.as_deref(), checked);
        Ok(Exchange::new(Arc::clone(&self.inner), access, principal, (limits, charged), records, usage))
    }

    fn access(
        &self,
        request: &Request<'_>,
        route: &Arc<Route>,
        principal: Option<&Principal>,
        checked: Option<Checked>,
    ) -> AccessRecord {
        AccessRecord {
            event: self.inner.ids.event_id(request.at),
            request: request.id,
            at: request.at,
            route: Arc::clone(route),
            tenant: principal.and_then(Principal::tenant),
            actor: principal.map_or(Actor::Anonymous, Actor::from),
            method: method_name(request.head.method),
            path: request.head.path.as_str().into(),
            ip: request.head.ip,
            checked,
            state: Mutex::new(State::Open),
        }
    }

    /// Refuses a request whose caller is not known: counted, and summarised in the platform's ledger.
    fn reject(
        &self,
        request: &Request<'_>,
        route: Option<&Route>,
        problem: Problem,
        why: &'static str,
    ) -> Denial {
        match route {
            Some(route) => route.stats().refused(problem.code),
            None => self.inner.stats.refused(problem.code),
        }
        self.inner.summaries.count(request.head.ip, problem.code, why, request.at);
        problem.into()
    }

    /// Refuses a request whose caller is known, and records it in the caller's ledger.
    fn deny(&self, known: &Known<'_>, problem: Problem, why: &'static str) -> Denial {
        self.refuse(known, problem, why, None)
    }

    fn refuse(
        &self,
        known: &Known<'_>,
        problem: Problem,
        why: &'static str,
        checked: Option<Checked>,
    ) -> Denial {
        known.route.stats().refused(problem.code);
        let access = self.access(known.request, known.route, Some(known.principal), checked);
        let event = access.refusal(problem.code, why.into());
        let scope = known.principal.scope;
        if self.inner.engines.audit.submit(scope, Draft::Event(event)).is_err() {
            // The refusal stands; that its record found no room is counted by the ledger and told as overload.
            self.inner.stats.unrecorded.fetch_add(1, Ordering::Relaxed);
        }
        problem.into()
    }

    /// Fails closed: a stage's store cannot be asked.
    fn failed(
        &self,
        request: &Request<'_>,
        route: Option<&Route>,
        stage: &'static str,
        error: &(dyn std::error::Error + 'static),
    ) -> Denial {
        self.inner.stats.failed(stage, error);
        self.reject(request, route, ProblemCode::BackendUnavailable.into(), stage)
    }
}

fn method_name(method: &http::Method) -> Text {
    match *method {
        http::Method::GET => "GET".into(),
        http::Method::POST => "POST".into(),
        http::Method::PUT => "PUT".into(),
        http::Method::DELETE => "DELETE".into(),
        http::Method::HEAD => "HEAD".into(),
        http::Method::PATCH => "PATCH".into(),
        http::Method::OPTIONS => "OPTIONS".into(),
        _ => method.as_str().to_owned().into(),
    }
}
