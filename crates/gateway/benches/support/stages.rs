use std::time::Duration;

use http::{HeaderMap, Method};
use stanchion_pipeline::{NormalPath, RequestHead};
use stanchion_rbac::CheckRequest;

use crate::full::full;

const OPERATIONS: u32 = 20_000;
const REPETITIONS: usize = 7;

/// Measures each stage of a decision by itself, in CPU time of the thread, and the decision as a whole.
pub(crate) fn measure() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    let full = runtime.block_on(full());
    let engines = full.pipeline.engines().clone();
    let mut headers = HeaderMap::new();
    headers.insert("x-api-key", full.key.parse().expect("a key is a header value"));
    let path = NormalPath::new("/v1/things/42").expect("a good path");
    let ip = std::net::IpAddr::from([127, 0, 0, 1]);
    let head = RequestHead {
        method: &Method::GET,
        host: "bench",
        path: &path,
        headers: &headers,
        ip,
        content_length: None,
    };
    let outcome =
        runtime.block_on(engines.identity.authenticate(&full.key, Some(ip))).expect("memory answers");
    let principal = outcome.principal().expect("the key is good").clone();
    let tenant = principal.tenant().expect("it is a tenant's");
    let permission = "thing:read".parse().expect("a permission");
    let check = CheckRequest::new(principal.scope, &principal.subject, &permission);
    let edge = stanchion_ratelimit::Request { ip: Some(ip), route: Some("things"), ..Default::default() };
    let inner = stanchion_ratelimit::Request {
        tenant: Some(tenant),
        subject: Some(&principal.subject),
        key: principal.authentication.key,
        ..edge
    };
    runtime.block_on(async {
        let status = engines.tenancy.status(tenant).await;
        let decided = (engines.ratelimit.decide_edge(&edge).await, engines.ratelimit.decide(&inner).await);
        let checked = engines.rbac.check(&check).await;
        assert!(
            status.is_ok() && decided.0.is_ok() && decided.1.is_ok() && checked.is_ok(),
            "everything is loaded"
        );
    });
    let routes = full.pipeline.routes();
    let stages: [(&str, f64); 8] = [
        ("normalise", nanos(|| NormalPath::new(std::hint::black_box("/v1/things/42")).is_ok())),
        (
            "route",
            nanos(|| {
                matches!(routes.find("bench", &path, &Method::GET), stanchion_pipeline::Matched::Route(_))
            }),
        ),
        ("edge_limits", nanos(|| engines.ratelimit.try_decide_edge(&edge).is_some())),
        ("authenticate", nanos(|| engines.identity.try_authenticate(&full.key, Some(ip)).is_some())),
        ("tenant", nanos(|| engines.tenancy.try_status(tenant).is_some())),
        ("limits", nanos(|| engines.ratelimit.try_decide(&inner).is_some())),
        ("authorize", nanos(|| engines.rbac.try_check(&check).is_some())),
        (
            "places",
            nanos(|| {
                engines.audit.reserve(principal.scope).is_ok() && engines.metering.reserve(tenant).is_ok()
            }),
        ),
    ];
    // The workers do not run, so the records of all repetitions together have to find room in their queues.
    let decide = nanos_of(2_000, || runtime.block_on(full.pipeline.decide(&head)).is_ok());
    // Its workers hold timers, which end with their runtime.
    runtime.block_on(async move { drop(full) });
    for (stage, nanos) in stages {
        println!(
            "BENCH gateway.stage_{stage} value={nanos:.0} unit=cpu_ns peer=decide peer_value={decide:.0} ratio={:.3}",
            nanos / decide
        );
    }
}

fn nanos(operation: impl Fn() -> bool) -> f64 {
    nanos_of(OPERATIONS, operation)
}

/// The least CPU time of an operation over several repetitions.
fn nanos_of(operations: u32, operation: impl Fn() -> bool) -> f64 {
    let repetition = |_| {
        let begun = cpu_time();
        for _ in 0..operations {
            assert!(std::hint::black_box(operation()), "the stage answers");
        }
        (cpu_time() - begun).as_secs_f64() * 1e9 / f64::from(operations)
    };
    (0..REPETITIONS).map(repetition).fold(f64::MAX, f64::min)
}

fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
