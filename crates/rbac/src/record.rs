use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use stanchion_core::{SessionId, SubjectRef};

use crate::{
    Assignment, Denial, Grant, Membership, Permission, ResourceSelector, Role, RoleId, Separation,
    SeparationId, Session,
};

/// One of the records that decide who may do what.
///
/// As JSON it stands under the name of its kind: `{"role":{"id":"clerk",…}}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Record {
    /// A role.
    Role(Role),
    /// A role that a subject holds.
    Assignment(Assignment),
    /// A permission that a subject has.
    Grant(Grant),
    /// A permission that is denied to a subject.
    Denial(Denial),
    /// A group that a subject belongs to.
    Membership(Membership),
    /// Roles that are kept apart.
    Separation(Separation),
    /// A session of a subject.
    Session(Session),
}

/// What a record is found by: there is one record of each key in a scope.
///
/// Its text is its place in lists.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum RecordKey {
    /// Of a role.
    Role(RoleId),
    /// Of an assignment.
    Assignment {
        /// Who holds the role.
        subject: SubjectRef,
        /// The role.
        role: RoleId,
        /// On which resources.
        resource: Option<ResourceSelector>,
    },
    /// Of a grant.
    Grant {
        /// Who has the permission.
        subject: SubjectRef,
        /// The permission.
        permission: Permission,
        /// On which resources.
        resource: Option<ResourceSelector>,
    },
    /// Of a denial.
    Denial {
        /// Who is denied the permission.
        subject: SubjectRef,
        /// The permission.
        permission: Permission,
        /// On which resources.
        resource: Option<ResourceSelector>,
    },
    /// Of a membership.
    Membership {
        /// The group.
        group: SubjectRef,
        /// Who belongs to it.
        member: SubjectRef,
    },
    /// Of a separation.
    Separation(SeparationId),
    /// Of a session.
    Session(SessionId),
}

/// The kinds of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum RecordKind {
    /// Roles.
    Role,
    /// Assignments.
    Assignment,
    /// Grants.
    Grant,
    /// Denials.
    Denial,
    /// Memberships.
    Membership,
    /// Separations.
    Separation,
    /// Sessions.
    Session,
}

impl RecordKind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::Role,
        Self::Assignment,
        Self::Grant,
        Self::Denial,
        Self::Membership,
        Self::Separation,
        Self::Session,
    ];

    /// Returns its name, under which records of it stand in files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Role => "role",
            Self::Assignment => "assignment",
            Self::Grant => "grant",
            Self::Denial => "denial",
            Self::Membership => "membership",
            Self::Separation => "separation",
            Self::Session => "session",
        }
    }
}

impl Record {
    /// Returns what it is found by.
    #[must_use]
    pub fn key(&self) -> RecordKey {
        match self {
            Self::Role(role) => RecordKey::Role(role.id.clone()),
            Self::Assignment(Assignment { subject, role, resource, .. }) => RecordKey::Assignment {
                subject: subject.clone(),
                role: role.clone(),
                resource: resource.clone(),
            },
            Self::Grant(Grant { subject, permission, resource, .. }) => RecordKey::Grant {
                subject: subject.clone(),
                permission: permission.clone(),
                resource: resource.clone(),
            },
            Self::Denial(Denial { subject, permission, resource, .. }) => RecordKey::Denial {
                subject: subject.clone(),
                permission: permission.clone(),
                resource: resource.clone(),
            },
            Self::Membership(Membership { group, member, .. }) => {
                RecordKey::Membership { group: group.clone(), member: member.clone() }
            }
            Self::Separation(separation) => RecordKey::Separation(separation.id.clone()),
            Self::Session(session) => RecordKey::Session(session.id),
        }
    }

    /// Returns its kind.
    #[must_use]
    pub const fn kind(&self) -> RecordKind {
        match self {
            Self::Role(_) => RecordKind::Role,
            Self::Assignment(_) => RecordKind::Assignment,
            Self::Grant(_) => RecordKind::Grant,
            Self::Denial(_) => RecordKind::Denial,
            Self::Membership(_) => RecordKind::Membership,
            Self::Separation(_) => RecordKind::Separation,
            Self::Session(_) => RecordKind::Session,
        }
    }
}

impl RecordKey {
    /// Returns what the feed calls a change of it: `role:admin`; `subject:user:alice` for whatever that subject holds, has, is denied or
    /// belongs to; `separation:payments`; `session:0192…`.
    #[must_use]
    pub fn feed(&self) -> Arc<str> {
        match self {
            Self::Role(id) => format!("role:{id}").into(),
            Self::Assignment { subject, .. }
            | Self::Grant { subject, .. }
            | Self::Denial { subject, .. }
            | Self::Membership { member: subject, .. } => format!("subject:{subject}").into(),
            Self::Separation(id) => format!("separation:{id}").into(),
            Self::Session(id) => format!("session:{id}").into(),
        }
    }

    /// Returns the kind of record that it finds.
    #[must_use]
    pub const fn kind(&self) -> RecordKind {
        match self {
            Self::Role(_) => RecordKind::Role,
            Self::Assignment { .. } => RecordKind::Assignment,
            Self::Grant { .. } => RecordKind::Grant,
            Self::Denial { .. } => RecordKind::Denial,
            Self::Membership { .. } => RecordKind::Membership,
            Self::Separation(_) => RecordKind::Separation,
            Self::Session(_) => RecordKind::Session,
        }
    }
}

impl fmt::Display for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let on = |f: &mut fmt::Formatter<'_>, resource: &Option<ResourceSelector>| match resource {
            Some(resource) => write!(f, " {resource}"),
            None => Ok(()),
        };
        match self {
            Self::Role(id) => write!(f, "{id}"),
            Self::Assignment { subject, role, resource } => {
                write!(f, "{subject} {role}")?;
                on(f, resource)
            }
            Self::Grant { subject, permission, resource }
            | Self::Denial { subject, permission, resource } => {
                write!(f, "{subject} {permission}")?;
                on(f, resource)
            }
            Self::Membership { group, member } => write!(f, "{group} {member}"),
            Self::Separation(id) => write!(f, "{id}"),
            Self::Session(id) => write!(f, "{id}"),
        }
    }
}

/// A type of record, for lists of one kind.
pub trait IsRecord: Sized {
    /// Its kind.
    const KIND: RecordKind;

    /// Takes it out of a record; `None` out of one of another kind.
    fn from_record(record: Record) -> Option<Self>;
}

macro_rules! records {
    ($($kind:ident),+) => {
        $(
            impl From<$kind> for Record {
                fn from(record: $kind) -> Self {
                    Self::$kind(record)
                }
            }

            impl IsRecord for $kind {
                const KIND: RecordKind = RecordKind::$kind;

                fn from_record(record: Record) -> Option<Self> {
                    match record {
                        Record::$kind(record) => Some(record),
                        _ => None,
                    }
                }
            }
        )+
    };
}
records!(Role, Assignment, Grant, Denial, Membership, Separation, Session);
