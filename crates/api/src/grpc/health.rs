//! `grpc.health.v1`, of which one method is answered: it asks, as `/readyz` does, whether the process should be sent requests.
//! `Watch` and `List` are not there, which the protocol allows and clients take for that.

use prost::{Enumeration, Message};
use tonic::Status;

use super::RATE_LIMITS;
use crate::readiness::Readiness;

/// `grpc.health.v1.HealthCheckRequest`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

/// `grpc.health.v1.HealthCheckResponse`.
#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct HealthCheckResponse {
    #[prost(enumeration = "ServingStatus", tag = "1")]
    status: i32,
}

/// `grpc.health.v1.HealthCheckResponse.ServingStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
#[repr(i32)]
enum ServingStatus {
    Unknown = 0,
    Serving = 1,
    NotServing = 2,
}

pub(super) fn check(
    readiness: &Readiness,
    request: &HealthCheckRequest,
) -> Result<HealthCheckResponse, Status> {
    if !matches!(request.service.as_str(), "" | RATE_LIMITS) {
        return Err(Status::not_found(format!("the services are `` and `{RATE_LIMITS}`")));
    }
    let status = if readiness.is_ready() { ServingStatus::Serving } else { ServingStatus::NotServing };
    Ok(HealthCheckResponse { status: status.into() })
}
