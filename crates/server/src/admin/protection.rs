use clap::{Args, Subcommand};

use crate::admin::args::Scoped;

/// Whose protected values to erase.
#[derive(Clone, Debug, Args)]
pub(crate) struct Erase {
    /// Whose: user:alice, or unknown
    pub(crate) subject: String,
    /// Why, for the record, which is not erased: name a case, no person
    #[arg(long)]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) scoped: Scoped,
}

/// Which protected value to find.
#[derive(Clone, Debug, Args)]
pub(crate) struct Find {
    /// The field, as it was protected: details.email
    pub(crate) field: String,
    /// The value, whatever its case
    pub(crate) value: String,
    /// Show the entries with their protected values opened, which is recorded; see --output json
    #[arg(long)]
    pub(crate) unseal: bool,
    /// The most entries, 1 to 1000
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) limit: usize,
    #[command(flatten)]
    pub(crate) scoped: Scoped,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum ExceptionFromErasure {
    /// List what is excepted from erasure, also what has ended
    #[command(after_help = "Example:\n  stanchion audit exception list --tenant acme")]
    List {
        #[command(flatten)]
        scoped: Scoped,
    },
    /// Except something from erasure, until a day and on a ground
    #[command(
        override_usage = "stanchion audit exception put [OPTIONS] --basis <BASIS>\n           --until <TIME> --reason <REASON> <ID>",
        after_help = "Example:\n  stanchion audit exception put claim-7 --tenant acme --subject user:alice \\\n    --basis legal_claims --until 2027-01-01T00:00:00Z --reason \"claim 7\""
    )]
    Put {
        /// Its name: 1 to 64 of: a-z 0-9 . _ -
        id: String,
        /// Only what is about this subject: user:alice
        #[arg(long)]
        subject: Option<String>,
        /// Only in records of this class: security, data_access or standard
        #[arg(long)]
        class: Option<String>,
        /// Only in this field: details.email
        #[arg(long)]
        field: Option<String>,
        /// Ground of GDPR 17(3): expression, legal_obligation, public_health, archiving, legal_claims
        #[arg(long)]
        basis: String,
        /// When it ends
        #[arg(long, value_name = "TIME")]
        until: String,
        /// Why, for whoever reads it later
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        scoped: Scoped,
    },
    /// End an exception before its time
    #[command(after_help = "Example:\n  stanchion audit exception lift claim-7 --tenant acme")]
    Lift {
        /// Its name
        id: String,
        #[command(flatten)]
        scoped: Scoped,
    },
}
