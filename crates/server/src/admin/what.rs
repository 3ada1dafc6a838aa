use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use stanchion_audit::VerifierKey;

use crate::admin::args::{Listed, Scoped, Session};
use crate::admin::protection::{Erase, ExceptionFromErasure, Find};

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
    /// Find what was recorded, newest first
    #[command(after_help = "Examples:\n  stanchion audit query --tenant acme --outcome denied\n  \
                            stanchion audit query --action role.* --proofs > page.json")]
    Query {
        #[command(flatten)]
        wanted: Wanted,
        /// Write JSON in which each entry has its proof: `audit verify` checks it offline
        #[arg(long)]
        proofs: bool,
        /// Open protected values, which is recorded; see --output json
        #[arg(long, conflicts_with = "proofs")]
        unseal: bool,
        /// Of all tenants and the platform, one after the other; each look is recorded
        #[arg(long, conflicts_with_all = ["tenant", "proofs", "unseal"])]
        all_tenants: bool,
        #[command(flatten)]
        listed: Listed,
        #[command(flatten)]
        scoped: Scoped,
    },
    /// Write the newest entries, oldest first, and with --follow each new one
    #[command(after_help = "Examples:\n  stanchion audit tail --tenant acme --lines 20\n  \
                            stanchion audit tail --follow --severity high --output json\n\n\
                            It goes on where it was when the server comes back. Ctrl-C ends it.")]
    Tail {
        #[command(flatten)]
        wanted: Wanted,
        /// Go on with each new entry
        #[arg(long, short)]
        follow: bool,
        /// How many entries to begin with, 1 to 1000
        #[arg(long, short = 'n', value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=1000))]
        lines: u64,
        #[command(flatten)]
        scoped: Scoped,
    },
    /// List the actions of events that are known
    #[command(after_help = "Example:\n  stanchion audit actions --output json")]
    Actions {
        #[command(flatten)]
        scoped: Scoped,
    },
    /// Find entries by a protected value, newest first
    #[command(after_help = "Example:\n  stanchion audit find details.email alice@example.org --tenant acme")]
    Find(Find),
    /// Erase what is protected for a subject, by destroying its keys
    #[command(
        after_help = "Example:\n  stanchion audit erase user:alice --tenant acme --reason \"request 42\"\n\n\
                            Chains and proofs stay as they are. What an exception covers is kept, and named."
    )]
    Erase(Erase),
    /// What the law excepts from erasure
    #[command(subcommand)]
    Exception(ExceptionFromErasure),
    /// See how long entries are kept, how far they are archived, and whether a hold stands
    #[command(after_help = "Example:\n  stanchion audit retention --tenant acme")]
    Retention {
        #[command(flatten)]
        scoped: Scoped,
    },
    /// Archive what can be, and drop what has served its time, now: 1 if not every chain could be
    #[command(after_help = "Example:\n  stanchion audit archive")]
    Archive {
        #[command(flatten)]
        session: Session,
    },
    /// Administer legal holds: while one stands, nothing of its chains is dropped
    #[command(
        subcommand,
        after_help = "Example:\n  stanchion audit hold put --scope platform --reason \"Smith v. Acme\""
    )]
    Hold(Hold),
    /// List the latest checkpoint of each chain, and the keys that verify it
    #[command(after_help = "Example:\n  stanchion audit checkpoints --tenant acme --output json")]
    Checkpoints {
        #[command(flatten)]
        scoped: Scoped,
    },
    /// Write the proof that an event is in the ledger: with a verifier key it is checked offline
    #[command(
        after_help = "Example:\n  stanchion audit prove 0192f0c1-2345-7abc-8def-0123456789ab > event.tlog-proof"
    )]
    Prove {
        /// The id of the event
        event: String,
        #[command(flatten)]
        scoped: Scoped,
    },
    /// Write entries to a file that proves them, whole chains or what filters find
    #[command(after_help = "Examples:\n  stanchion audit export --tenant acme --out acme.jsonl\n  \
                            stanchion audit export --action role.* --format csv --out roles.csv\n\n\
                            Whole chains, so also --class alone, prove too that no entry is missing.\n\
                            `audit verify` checks the file offline; so it does one of OCSF events, and the\n\
                            directory that tiles make. CSV is for people and proves nothing.")]
    Export {
        #[command(flatten)]
        wanted: Wanted,
        /// What to write: jsonl, a bundle that proves itself; ocsf, the same as events of OCSF 1.8; tiles, the logs as
        /// files (C2SP tlog-tiles); or csv, for people
        #[arg(long, value_enum, default_value_t, hide_possible_values = true)]
        format: ExportFormat,
        /// Have the server make a file first, and fetch that: for what is too large to be streamed in one go
        #[arg(long)]
        job: bool,
        /// The file, or for tiles the directory, for its owner alone to read; it is there once it is whole
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        #[command(flatten)]
        scoped: Scoped,
    },
    /// Verify every chain from its stored bytes, or files offline: 1 if one is not what was recorded
    #[command(after_help = "Examples:\n  stanchion audit verify --tenant acme\n  \
                            stanchion audit verify event.tlog-proof acme.jsonl --verifier-key NAME+ID+KEY\n  \
                            stanchion audit verify --store stanchion.toml\n  \
                            stanchion audit verify all.jsonl --verifier-key KEY --anchors anchors.jsonl\n\n\
                            Files and stores need no server: 0 intact, 1 tampered with, 2 incomplete or no\n\
                            proof, 3 signed by no key that was given. Get verifier keys from\n\
                            `audit checkpoints`, once, and keep them.")]
    Verify {
        /// What `audit prove`, `audit query --proofs` and `audit export` wrote, or the directory of an archive, instead of the server's
        /// chains
        #[arg(value_name = "PATH", requires = "verifier_key", conflicts_with = "store", group = "offline")]
        proofs: Vec<PathBuf>,
        /// What proofs are verified with, as often as there are logs
        #[arg(long, value_name = "KEY", requires = "proofs")]
        verifier_key: Vec<VerifierKey>,
        /// Check the signatures of entries too: where the ledger's secrets are, by version, as in
        /// `[audit.signing_keys]`
        #[arg(long, value_name = "FILE", requires = "proofs")]
        mac_keys: Option<PathBuf>,
        /// Verify the chains in the database of this configuration, those of all tenants unless --tenant names one
        #[arg(long, value_name = "CONFIG", group = "offline")]
        store: Option<PathBuf>,
        #[command(flatten)]
        anchored: crate::proofs::anchors::Anchored,
        #[command(flatten)]
        scoped: Scoped,
    },
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Hold {
    /// Place a hold
    #[command(
        after_help = "Example:\n  stanchion audit hold put --scope platform --reason \"Smith v. Acme\""
    )]
    Put {
        /// Whose entries: a tenant's id, or platform
        #[arg(long)]
        scope: String,
        /// Only of this class: security, data_access or standard
        #[arg(long)]
        class: Option<String>,
        /// Why
        #[arg(long)]
        reason: String,
        /// When it ends by itself [default: when it is lifted]
        #[arg(long, value_name = "TIME")]
        until: Option<String>,
        #[command(flatten)]
        session: Session,
    },
    /// List holds, those that were lifted too
    #[command(after_help = "Example:\n  stanchion audit hold list --scope platform")]
    List {
        /// Whose entries: a tenant's id, or platform
        #[arg(long)]
        scope: String,
        #[command(flatten)]
        session: Session,
    },
    /// Lift a hold
    #[command(
        after_help = "Example:\n  stanchion audit hold lift 0192f0c1-2345-7abc-8def-0123456789ab --scope platform"
    )]
    Lift {
        /// The hold
        id: String,
        /// Whose entries: a tenant's id, or platform
        #[arg(long)]
        scope: String,
        #[command(flatten)]
        session: Session,
    },
}

/// Which entries are meant: all of them if nothing is given.
#[derive(Clone, Debug, Args)]
pub(crate) struct Wanted {
    /// Only the chain of this class: security, data_access or standard
    #[arg(long)]
    pub(crate) class: Option<String>,
    /// Only this action, role.put, or all below one, role.*
    #[arg(long)]
    pub(crate) action: Option<String>,
    /// Only by this actor, such as user:alice
    #[arg(long)]
    pub(crate) actor: Option<String>,
    /// Only with this target, such as role/editor
    #[arg(long)]
    pub(crate) target: Option<String>,
    /// Only success, denied, failure, error or unknown
    #[arg(long)]
    pub(crate) outcome: Option<String>,
    /// Only of this category, such as authentication
    #[arg(long)]
    pub(crate) category: Option<String>,
    /// Only of at least this severity: info, notice, warning, high or critical
    #[arg(long)]
    pub(crate) severity: Option<String>,
    /// Only of the request with this x-request-id
    #[arg(long)]
    pub(crate) request: Option<String>,
    /// Only of this session
    #[arg(long)]
    pub(crate) session: Option<String>,
    /// Only of this trace
    #[arg(long)]
    pub(crate) trace: Option<String>,
    /// Only what counts as this type, such as login or permission_denied
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) event_type: Option<String>,
    /// Only with all of these words in its texts
    #[arg(long, value_name = "WORDS")]
    pub(crate) text: Option<String>,
    /// Only recorded at this time or later
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Only recorded before this time
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
}

/// How exported entries are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// A bundle that proves itself
    #[default]
    Jsonl,
    /// The same as events of OCSF
    Ocsf,
    /// Logs in directories
    Tiles,
    /// For people
    Csv,
}
