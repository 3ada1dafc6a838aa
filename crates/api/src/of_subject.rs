//! What records about one subject are found by: grants and denials alike.

use serde::Deserialize;
use stanchion_core::SubjectRef;
use stanchion_rbac::{Permission, RecordFilter, RecordKind, ResourceSelector};
use utoipa::IntoParams;

/// Of whom to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct OfSubject {
    /// Only those of this subject.
    #[param(value_type = String, required = false, example = "user:alice")]
    subject: Option<SubjectRef>,
}

impl OfSubject {
    pub(crate) fn filter(&self, kind: RecordKind) -> RecordFilter {
        let mut filter = RecordFilter::all(kind);
        filter.subject.clone_from(&self.subject);
        filter
    }
}

/// Which grant or denial is meant.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct PermissionOf {
    /// Whose it is.
    #[param(value_type = String, example = "user:alice")]
    pub(crate) subject: SubjectRef,
    /// The permission, as it was said.
    #[param(value_type = String)]
    pub(crate) permission: Permission,
    /// On which resources, if that was said.
    #[param(value_type = String, required = false)]
    pub(crate) resource: Option<ResourceSelector>,
}
