use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use stanchion_audit::VerifierKey;

use crate::admin::args::{Listed, Scoped, Session};
use crate::admin::protection::{Erase, ExceptionFromErasure, Find};

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
    /// See what an erasure did, and whether the words of it are gone
    #[command(
        after_help = "Example:\n  stanchion audit erasure 0192f0c1-2345-7abc-8def-0123456789ab --tenant acme"
    )]
    Erasure {
        /// The id in its receipt
        id: String,
        #[command(flatten)]
        scoped: Scoped,
    },
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
                            stanchion audit verify platform.jsonl acme.jsonl --verifier-key KEY \\\n    --anchors anchors.jsonl\n\n\
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
