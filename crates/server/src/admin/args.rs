use std::fmt;

use clap::{Args, ValueEnum};

use crate::config::SecretRef;

/// The server that is asked, and as whom.
#[derive(Clone, Debug, Args)]
pub(crate) struct Session {
    /// The admin API [default: $STANCHION_SERVER, or http://127.0.0.1:8081]
    #[arg(long, value_name = "URL", help_heading = "Server")]
    pub(crate) server: Option<String>,
    /// Where the API key is: env:NAME or file:PATH [default: env:STANCHION_KEY]
    #[arg(long, value_name = "WHERE", help_heading = "Server")]
    pub(crate) key: Option<KeyPlace>,
    /// How to write the answer: table, for people, or json, as the server said it
    #[arg(long, value_enum, default_value_t, hide_possible_values = true, help_heading = "Server")]
    pub(crate) output: Output,
}

/// Where the API key is, as it was typed. It is read later, since what is no reference may be the key itself, and a complaint about an
/// argument shows it.
#[derive(Clone)]
pub(crate) struct KeyPlace(String);

impl KeyPlace {
    pub(crate) fn reference(&self) -> Result<SecretRef, &'static str> {
        self.0.parse()
    }
}

impl From<String> for KeyPlace {
    fn from(typed: String) -> Self {
        Self(typed)
    }
}

impl fmt::Debug for KeyPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyPlace(…)")
    }
}

/// How an answer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people
    #[default]
    Table,
    /// For machines: as the server said it
    Json,
}

/// The scope a command works in.
#[derive(Clone, Debug, Args)]
pub(crate) struct Scoped {
    /// The tenant, by slug or id, or `platform`; a tenant's own key needs none
    #[arg(long)]
    pub(crate) tenant: Option<String>,
    #[command(flatten)]
    pub(crate) session: Session,
}

/// How much of a list is wanted.
#[derive(Clone, Debug, Args)]
pub(crate) struct Listed {
    /// The most items
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) limit: usize,
}
