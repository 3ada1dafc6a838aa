use clap::Subcommand;

use crate::admin::args::{Listed, Scoped};

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
