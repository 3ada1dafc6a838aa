use std::fmt;

use clap::{Args, Subcommand, ValueEnum};

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

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Tenant {
    /// List tenants
    #[command(after_help = "Example:\n  stanchion tenant list --output json")]
    List {
        #[command(flatten)]
        listed: Listed,
        #[command(flatten)]
        session: Session,
    },
    /// Show a tenant
    #[command(after_help = "Example:\n  stanchion tenant show acme")]
    Show {
        /// The tenant, by slug or id
        tenant: String,
        #[command(flatten)]
        session: Session,
    },
    /// Create a tenant
    #[command(after_help = "Example:\n  stanchion tenant create acme --name \"Acme & Co.\" --tier basic")]
    Create {
        /// What people type: 1 to 64 of: a-z 0-9 . _ -
        slug: String,
        /// What people read
        #[arg(long)]
        name: String,
        /// The entry of the tier catalogue
        #[arg(long, default_value = "basic")]
        tier: String,
        #[command(flatten)]
        session: Session,
    },
    /// Change a tenant's name or tier
    #[command(after_help = "Example:\n  stanchion tenant update acme --tier enterprise")]
    Update {
        /// The tenant, by slug or id
        tenant: String,
        /// What people read
        #[arg(long)]
        name: Option<String>,
        /// The entry of the tier catalogue
        #[arg(long)]
        tier: Option<String>,
        #[command(flatten)]
        session: Session,
    },
    /// Stop serving a tenant; everything is kept
    #[command(
        after_help = "Example:\n  stanchion tenant suspend acme --reason \"the invoice of March is open\""
    )]
    Suspend {
        /// The tenant, by slug or id
        tenant: String,
        /// Why, for the record
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        session: Session,
    },
    /// Serve a suspended tenant again
    #[command(after_help = "Example:\n  stanchion tenant resume acme --reason \"paid\"")]
    Resume {
        /// The tenant, by slug or id
        tenant: String,
        /// Why, for the record
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        session: Session,
    },
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Key {
    /// List API keys
    #[command(after_help = "Example:\n  stanchion key list --tenant acme")]
    List {
        #[command(flatten)]
        listed: Listed,
        #[command(flatten)]
        scoped: Scoped,
    },
    /// Show an API key, without its secret
    #[command(
        after_help = "Example:\n  stanchion key show 0192f0c1-2345-7abc-8def-0123456789ab --tenant acme"
    )]
    Show {
        /// The key's id
        id: String,
        #[command(flatten)]
        scoped: Scoped,
    },
    /// Issue an API key; its secret is shown this once
    #[command(
        after_help = "Example:\n  stanchion key create --tenant acme --subject service:etl --name nightly"
    )]
    Create {
        /// Whom it authenticates: user:ID or service:ID
        #[arg(long)]
        subject: String,
        /// What people call it
        #[arg(long)]
        name: String,
        /// Where it is meant to be used, such as live or test
        #[arg(long)]
        environment: Option<String>,
        /// When it ends, such as 2027-01-01T00:00:00Z
        #[arg(long, value_name = "TIME")]
        expires_at: Option<String>,
        /// A network it may be used from; may be repeated
        #[arg(long, value_name = "NETWORK")]
        cidr: Vec<String>,
        #[command(flatten)]
        scoped: Scoped,
    },
    /// Give a key a new secret, which is shown this once
    #[command(
        after_help = "Example:\n  stanchion key rotate 0192f0c1-2345-7abc-8def-0123456789ab --grace 3600"
    )]
    Rotate {
        /// The key's id
        id: String,
        /// How long the present secret works on; 0 ends it at once
        #[arg(long, value_name = "SECONDS")]
        grace: u32,
        #[command(flatten)]
        scoped: Scoped,
    },
    /// Revoke a key with all of its secrets, for good
    #[command(
        after_help = "Example:\n  stanchion key revoke 0192f0c1-2345-7abc-8def-0123456789ab --tenant acme"
    )]
    Revoke {
        /// The key's id
        id: String,
        #[command(flatten)]
        scoped: Scoped,
    },
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Role {
    /// List roles
    #[command(after_help = "Example:\n  stanchion role list --tenant platform")]
    List {
        #[command(flatten)]
        listed: Listed,
        #[command(flatten)]
        scoped: Scoped,
    },
    /// Show a role
    #[command(after_help = "Example:\n  stanchion role show editor --tenant acme")]
    Show {
        /// The role's id
        id: String,
        #[command(flatten)]
        scoped: Scoped,
    },
    /// Create or replace a role
    #[command(
        after_help = "Example:\n  stanchion role put editor --tenant acme --name Editor \\\n    --permission report:* --include viewer"
    )]
    Put {
        /// The role's id: 1 to 64 of: a-z 0-9 . _ -
        id: String,
        /// What people read
        #[arg(long)]
        name: String,
        /// What it is for
        #[arg(long)]
        description: Option<String>,
        /// What it permits, RESOURCE:ACTION; may be repeated
        #[arg(long)]
        permission: Vec<String>,
        /// A role whose permissions it has as well; may be repeated
        #[arg(long, value_name = "ROLE")]
        include: Vec<String>,
        #[command(flatten)]
        scoped: Scoped,
    },
    /// Delete a role that nobody holds
    #[command(after_help = "Example:\n  stanchion role delete editor --tenant acme")]
    Delete {
        /// The role's id
        id: String,
        #[command(flatten)]
        scoped: Scoped,
    },
    /// Ask whether a subject has a permission, and why: 1 if not
    #[command(after_help = "Example:\n  stanchion role check user:bob report:delete --tenant acme")]
    Check {
        /// Who: user:ID or service:ID
        subject: String,
        /// What: RESOURCE:ACTION
        permission: String,
        #[command(flatten)]
        scoped: Scoped,
    },
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Assign {
    /// List who holds which role
    #[command(after_help = "Example:\n  stanchion assign list --tenant acme --subject user:alice")]
    List {
        /// Only those of this subject
        #[arg(long)]
        subject: Option<String>,
        /// Only those of this role
        #[arg(long)]
        role: Option<String>,
        #[command(flatten)]
        listed: Listed,
        #[command(flatten)]
        scoped: Scoped,
    },
    /// Give a role to a subject
    #[command(after_help = "Example:\n  stanchion assign create user:alice editor --tenant acme")]
    Create {
        /// Who: user:ID or service:ID
        subject: String,
        /// The role's id
        role: String,
        /// When it ends, such as 2027-01-01T00:00:00Z
        #[arg(long, value_name = "TIME")]
        expires_at: Option<String>,
        /// Why, for the record
        #[arg(long)]
        reason: Option<String>,
        #[command(flatten)]
        scoped: Scoped,
    },
    /// Take a role from a subject
    #[command(after_help = "Example:\n  stanchion assign delete user:alice editor --tenant acme")]
    Delete {
        /// Who: user:ID or service:ID
        subject: String,
        /// The role's id
        role: String,
        #[command(flatten)]
        scoped: Scoped,
    },
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Limit {
    /// List rate limits
    #[command(after_help = "Example:\n  stanchion limit list --tenant platform")]
    List {
        #[command(flatten)]
        listed: Listed,
        #[command(flatten)]
        scoped: Scoped,
    },
    /// Show a rate limit
    #[command(after_help = "Example:\n  stanchion limit show per-user --tenant acme")]
    Show {
        /// The limit's id
        id: String,
        #[command(flatten)]
        scoped: Scoped,
    },
    /// Create or replace a rate limit
    #[command(
        override_usage = "stanchion limit put [OPTIONS] --by <WHAT> --limit <N>\n           --window <TIME> <ID>",
        after_help = "Example:\n  stanchion limit put per-user --tenant acme --by user --limit 100 --window 1m"
    )]
    Put {
        /// The limit's id: 1 to 64 of: a-z 0-9 . _ -
        id: String,
        /// What it counts by: global, tenant, user, api_key, ip, endpoint; several with commas
        #[arg(long, value_name = "WHAT", value_delimiter = ',', required = true)]
        by: Vec<String>,
        /// How much each window gives
        #[arg(long, value_name = "N")]
        limit: u64,
        /// The window: 30s, 1m, 1h, 1d, 1mo
        #[arg(long, value_name = "TIME")]
        window: String,
        /// How much more may be used at once
        #[arg(long, value_name = "N", default_value_t = 0)]
        burst: u64,
        /// How it counts: token_bucket or fixed_window
        #[arg(long, default_value = "token_bucket")]
        algorithm: String,
        /// A route it is for; may be repeated. With no route and no label it is for all
        #[arg(long)]
        route: Vec<String>,
        /// A label of routes it is for; may be repeated
        #[arg(long)]
        label: Vec<String>,
        /// Only count and report, refuse nothing
        #[arg(long)]
        shadow: bool,
        #[command(flatten)]
        scoped: Scoped,
    },
    /// Delete a rate limit
    #[command(after_help = "Example:\n  stanchion limit delete per-user --tenant acme")]
    Delete {
        /// The limit's id
        id: String,
        #[command(flatten)]
        scoped: Scoped,
    },
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Usage {
    /// Show what a tenant has used in a period, and what it costs
    #[command(
        after_help = "Examples:\n  stanchion usage show --tenant acme --period 2026-11\n  stanchion usage show --from 2026-11-01T00:00:00Z --to 2026-11-02T00:00:00Z"
    )]
    Show {
        /// A month, such as 2026-11 [default: this one]
        #[arg(long, conflicts_with_all = ["from", "to"])]
        period: Option<String>,
        /// The first instant of the period
        #[arg(long, value_name = "TIME", requires = "to")]
        from: Option<String>,
        /// The first instant after the period
        #[arg(long, value_name = "TIME", requires = "from")]
        to: Option<String>,
        /// Only this meter
        #[arg(long)]
        meter: Option<String>,
        #[command(flatten)]
        scoped: Scoped,
    },
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Audit {
    /// List what was recorded, newest first
    #[command(after_help = "Example:\n  stanchion audit list --tenant acme --outcome denied")]
    List {
        /// Only this action, role.put, or all below one, role.*
        #[arg(long)]
        action: Option<String>,
        /// Only by this actor, such as user:alice
        #[arg(long)]
        actor: Option<String>,
        /// Only of the request with this x-request-id
        #[arg(long)]
        request: Option<String>,
        /// Only success, denied, failure, error or unknown
        #[arg(long)]
        outcome: Option<String>,
        /// Only recorded at this time or later
        #[arg(long, value_name = "TIME")]
        since: Option<String>,
        /// Only recorded before this time
        #[arg(long, value_name = "TIME")]
        until: Option<String>,
        #[command(flatten)]
        listed: Listed,
        #[command(flatten)]
        scoped: Scoped,
    },
    /// Verify every chain from its stored bytes: 1 if one is not what was recorded
    #[command(after_help = "Example:\n  stanchion audit verify --tenant acme")]
    Verify {
        #[command(flatten)]
        scoped: Scoped,
    },
}
