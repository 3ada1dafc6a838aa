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
        /// How it counts: token_bucket, gcra, leaky_bucket, leaky_queue, fixed_window, sliding_window, sliding_log, concurrency
        #[arg(long, default_value = "token_bucket")]
        algorithm: String,
        /// What happens beyond it: block, allow, throttle, captcha, quarantine
        #[arg(long, default_value = "block")]
        action: String,
        /// By how many milliseconds throttle delays at most [default: 1000]
        #[arg(long, value_name = "N")]
        max_delay_ms: Option<u32>,
        /// For how many seconds quarantine shuts a caller out [default: 3600]
        #[arg(long, value_name = "N")]
        quarantine_seconds: Option<u32>,
        /// An action from a number of violations on: 5=block; may be repeated
        #[arg(long, value_name = "N=ACTION", value_parser = rung)]
        rung: Vec<(u32, String)>,
        /// What an attribute must equal, or one of with commas: method=GET,HEAD; may be repeated
        #[arg(long, value_name = "NAME=VALUE", value_parser = condition)]
        when: Vec<(String, String)>,
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
    /// Begin counters anew: of a limit, of a caller, or all
    #[command(
        after_help = "Examples:\n  stanchion limit reset per-user --tenant acme\n  stanchion limit reset --caller user:alice --tenant acme"
    )]
    Reset {
        /// The limit's id
        #[arg(required_unless_present_any = ["caller", "all"], conflicts_with_all = ["caller", "all"])]
        id: Option<String>,
        /// A caller: user:alice, ip:203.0.113.7; several parts with spaces between
        #[arg(long)]
        caller: Option<String>,
        /// All limits of the scope
        #[arg(long, conflicts_with = "caller")]
        all: bool,
        #[command(flatten)]
        scoped: Scoped,
    },
    /// List requests that went beyond limits, newest first, as this replica has seen them
    #[command(after_help = "Example:\n  stanchion limit violations --tenant acme --caller user:alice")]
    Violations {
        /// Only of this limit
        #[arg(long, value_name = "ID")]
        of: Option<String>,
        /// Only by this caller: user:alice
        #[arg(long)]
        caller: Option<String>,
        /// Only at this time or later
        #[arg(long, value_name = "TIME")]
        since: Option<String>,
        /// Only before this time
        #[arg(long, value_name = "TIME")]
        until: Option<String>,
        #[command(flatten)]
        listed: Listed,
        #[command(flatten)]
        scoped: Scoped,
    },
    /// Show what limits have decided on this replica, and who goes beyond them most
    #[command(after_help = "Example:\n  stanchion limit stats --tenant acme")]
    Stats {
        #[command(flatten)]
        scoped: Scoped,
    },
    /// Tell what the limits would say to a request: 1 if they would refuse it
    #[command(
        after_help = "Example:\n  stanchion limit explain --tenant acme --subject user:alice --route chat"
    )]
    Explain {
        /// Who calls: user:alice
        #[arg(long)]
        subject: Option<String>,
        /// With which API key, by its id
        #[arg(long, value_name = "ID")]
        api_key: Option<String>,
        /// From where
        #[arg(long, value_name = "ADDRESS")]
        ip: Option<String>,
        /// The route's id
        #[arg(long)]
        route: Option<String>,
        /// An attribute: method=POST; may be repeated
        #[arg(long, value_name = "NAME=VALUE", value_parser = condition)]
        attribute: Vec<(String, String)>,
        /// How much it counts
        #[arg(long, default_value_t = 1)]
        cost: u64,
        #[command(flatten)]
        scoped: Scoped,
    },
    /// Other limits for single callers
    #[command(subcommand)]
    Override(Override),
    /// Callers who are shut out
    #[command(subcommand)]
    Quarantine(Quarantine),
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
pub(crate) enum Override {
    /// List the other limits of single callers
    #[command(after_help = "Example:\n  stanchion limit override list --tenant acme")]
    List {
        #[command(flatten)]
        listed: Listed,
        #[command(flatten)]
        scoped: Scoped,
    },
    /// Give one caller another limit
    #[command(
        after_help = "Example:\n  stanchion limit override put per-user user:alice --limit 500 --tenant acme"
    )]
    Put {
        /// The limit that it is another of
        id: String,
        /// The caller: user:alice, ip:203.0.113.7; several parts with spaces between
        caller: String,
        /// How much each window gives
        #[arg(long, value_name = "N")]
        limit: u64,
        /// How much more may be used at once
        #[arg(long, value_name = "N", default_value_t = 0)]
        burst: u64,
        /// When it ends [default: never]
        #[arg(long, value_name = "TIME")]
        expires_at: Option<String>,
        /// Why, for whoever reads it later
        #[arg(long)]
        reason: Option<String>,
        #[command(flatten)]
        scoped: Scoped,
    },
    /// Take another limit away again
    #[command(after_help = "Example:\n  stanchion limit override delete per-user user:alice --tenant acme")]
    Delete {
        /// The limit that it is another of
        id: String,
        /// The caller
        caller: String,
        #[command(flatten)]
        scoped: Scoped,
    },
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Quarantine {
    /// List who is shut out, by limits and by hand
    #[command(after_help = "Example:\n  stanchion limit quarantine list --tenant platform")]
    List {
        #[command(flatten)]
        listed: Listed,
        #[command(flatten)]
        scoped: Scoped,
    },
    /// Shut a caller out for a while
    #[command(
        after_help = "Example:\n  stanchion limit quarantine put ip:203.0.113.7 --seconds 3600 --tenant platform"
    )]
    Put {
        /// The caller: user:alice, ip:203.0.113.7; several parts with spaces between
        caller: String,
        /// For how long, up to a year
        #[arg(long, value_name = "N")]
        seconds: u32,
        /// Why, for whoever reads it later
        #[arg(long)]
        reason: Option<String>,
        #[command(flatten)]
        scoped: Scoped,
    },
    /// Let a caller in again
    #[command(after_help = "Example:\n  stanchion limit quarantine lift ip:203.0.113.7 --tenant platform")]
    Lift {
        /// The caller, as it was shut out
        caller: String,
        #[command(flatten)]
        scoped: Scoped,
    },
}

/// Reads `5=block`.
fn rung(text: &str) -> Result<(u32, String), String> {
    let (violations, action) = text.split_once('=').ok_or("use a number and an action: 5=block")?;
    let violations = violations.parse().map_err(|_| format!("`{violations}` is no number of violations"))?;
    Ok((violations, action.to_owned()))
}

/// Reads `name=value`.
fn condition(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("use a name and a value: method=GET")?;
    Ok((name.to_owned(), value.to_owned()))
}
