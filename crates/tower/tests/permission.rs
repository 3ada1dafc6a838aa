//! Permissions in front of an axum router and of its handlers.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::{Request, StatusCode};
use stanchion_core::{
    Authentication, AuthenticationMethod, Author, Principal, Scope, SubjectRef, SystemClock, SystemRandom,
    TenantId,
};
use stanchion_rbac::{Assignment, Config, Decision, Engine, MemoryRbacStore, Resource, Role};
use stanchion_tower::{Permitted, RequirePermission, required_permission};
use tower::ServiceExt;

required_permission!(DeleteReport = "report:delete");
required_permission!(Misspelt = "report");

fn tenant(number: u8) -> Scope {
    Scope::Tenant(format!("0192f0c1-2345-7abc-8def-0000000000{number:02}").parse::<TenantId>().unwrap())
}

/// Alice may delete reports in the first tenant, and nobody may do anything else.
async fn engine() -> Arc<Engine> {
    let store = Arc::new(MemoryRbacStore::new(None));
    let engine =
        Engine::new(store, Arc::new(SystemClock), Arc::new(SystemRandom::default()), Config::default());
    let author = Author::system("test");
    let role = Role::new("editor".parse().unwrap(), "Editor".parse().unwrap())
        .with_permissions(["report:delete".parse().unwrap()]);
    engine.put_role(&author, tenant(1), role, None).await.unwrap();
    let alice = Assignment::new(SubjectRef::user("alice").unwrap(), "editor".parse().unwrap());
    engine.assign(&author, tenant(1), alice).await.unwrap();
    Arc::new(engine)
}

fn principal(scope: Scope, name: &'static str) -> Arc<Principal> {
    let authentication = Authentication { method: AuthenticationMethod::ApiKey, key: None };
    Arc::new(Principal { scope, subject: SubjectRef::user(name).unwrap(), authentication })
}

async fn asked(application: &Router, path: &str, principal: Option<Arc<Principal>>) -> (StatusCode, String) {
    let mut request = Request::get(path).body(Body::empty()).unwrap();
    if let Some(principal) = principal {
        request.extensions_mut().insert(principal);
    }
    let response = application.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn the_layer_lets_through_whom_a_role_lets() {
    let layer = RequirePermission::new(engine().await, "report:delete".parse().unwrap());
    let decided = |decision: axum::Extension<Decision>| async move { decision.reason.as_str() };
    let application = Router::new().route("/", get(decided)).layer(layer);
    assert_eq!(
        asked(&application, "/", Some(principal(tenant(1), "alice"))).await,
        (StatusCode::OK, "granted".into())
    );
    let (status, body) = asked(&application, "/", Some(principal(tenant(1), "bob"))).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(body.contains("report:delete") && !body.contains("editor"), "{body}");
    // What alice holds in one tenant she holds in no other, and nowhere on the platform.
    for scope in [tenant(2), Scope::Platform] {
        assert_eq!(asked(&application, "/", Some(principal(scope, "alice"))).await.0, StatusCode::FORBIDDEN);
    }
    assert_eq!(asked(&application, "/", None).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_role_on_one_resource_counts_where_somebody_says_what_the_request_is_about() {
    let engine = engine().await;
    let author = Author::system("test");
    let bob = Assignment::new(SubjectRef::user("bob").unwrap(), "editor".parse().unwrap());
    engine.assign(&author, tenant(1), bob.on("report/7".parse().unwrap())).await.unwrap();
    let layer = RequirePermission::new(engine, "report:delete".parse().unwrap());
    let says = |id: &'static str| {
        let resource = Resource::new("report".parse().unwrap(), id);
        Router::new().route("/", get(|| async {})).layer(layer.clone()).layer(axum::Extension(resource))
    };
    let bob = || Some(principal(tenant(1), "bob"));
    assert_eq!(asked(&says("7"), "/", bob()).await.0, StatusCode::OK);
    assert_eq!(asked(&says("8"), "/", bob()).await.0, StatusCode::FORBIDDEN);
    let silent = Router::new().route("/", get(|| async {})).layer(layer);
    assert_eq!(asked(&silent, "/", bob()).await.0, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_permission_that_is_not_exact_is_permitted_to_nobody() {
    let layer = RequirePermission::new(engine().await, "report:*".parse().unwrap());
    let application = Router::new().route("/", get(|| async {})).layer(layer);
    assert_eq!(asked(&application, "/", Some(principal(tenant(1), "alice"))).await.0, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_handler_is_run_only_with_its_permission() {
    let delete = |permitted: Permitted<DeleteReport>| async move { permitted.principal.subject.to_string() };
    let misspelt = |_: Permitted<Misspelt>| async {};
    let application =
        Router::new().route("/", get(delete)).route("/misspelt", get(misspelt)).with_state(engine().await);
    let alice = || Some(principal(tenant(1), "alice"));
    assert_eq!(asked(&application, "/", alice()).await, (StatusCode::OK, "user:alice".into()));
    assert_eq!(asked(&application, "/", Some(principal(tenant(1), "bob"))).await.0, StatusCode::FORBIDDEN);
    assert_eq!(asked(&application, "/", None).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(asked(&application, "/misspelt", alice()).await.0, StatusCode::INTERNAL_SERVER_ERROR);
}
