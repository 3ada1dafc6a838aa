use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::admin::rbac::{Access, Assign, Deny, Grant, Group, Permission, Role, RoleSession, Separation};
use crate::admin::what::{Audit, Limit, Usage};
use crate::admin::who::{Key, Tenant};
use crate::config::Backend;

/// Who may call, how often, what they may do, what it costs, and a record that proves it.
#[derive(Debug, Parser)]
#[command(
    name = "stanchion",
    version,
    max_term_width = 80,
    arg_required_else_help = true,
    after_help = "Example:\n  stanchion quickstart --once\n\n\
                  Exit codes: 0 done, 1 the answer is no, 2 bad input or configuration,\n\
                  3 a backend or the server cannot be reached."
)]
pub struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show everything at once, in memory: a gateway before a demo service, two tenants, three users
    #[command(
        after_help = "Examples:\n  stanchion quickstart\n  stanchion quickstart --port 9000\n  stanchion quickstart --once"
    )]
    Quickstart(Quickstart),
    /// Serve: the gateway and the admin API, as a configuration says
    #[command(after_help = "Example:\n  stanchion serve --config stanchion.toml\n\n\
                            SIGTERM or Ctrl-C ends it in good order, a second one at once; SIGHUP reads the\n\
                            configuration again. STANCHION__SECTION__KEY overrides a setting.")]
    Serve(Serve),
    /// Check a configuration, and explain every problem with file and line
    #[command(after_help = "Example:\n  stanchion check --config stanchion.toml")]
    Check(Check),
    /// Bring the database to the schema of this program
    #[command(
        after_help = "Examples:\n  stanchion migrate --config stanchion.toml --dry-run\n  stanchion migrate --config stanchion.toml\n\n\
                            It can be cut off at any point and run again, and run while servers of the version before\n\
                            serve. It signs in as `storage.postgres.migrate_url` says, or as `url` if that is not given."
    )]
    Migrate(Migrate),
    /// Describe the configuration
    #[command(subcommand, after_help = "Example:\n  stanchion config schema > config.schema.json")]
    Config(Describe),
    /// Describe every problem code that an answer may have, in Markdown
    #[command(after_help = "Example:\n  stanchion errors")]
    Errors,
    /// Administer tenants
    #[command(subcommand, after_help = "Example:\n  stanchion tenant create acme --name \"Acme & Co.\"")]
    Tenant(Tenant),
    /// Administer API keys
    #[command(
        subcommand,
        after_help = "Example:\n  stanchion key create --tenant acme --subject user:alice --name laptop"
    )]
    Key(Key),
    /// Administer roles
    #[command(
        subcommand,
        after_help = "Example:\n  stanchion role put editor --tenant acme --name Editor --permission report:*"
    )]
    Role(Role),
    /// Administer who holds which role
    #[command(subcommand, after_help = "Example:\n  stanchion assign create user:alice editor --tenant acme")]
    Assign(Assign),
    /// Administer single permissions that subjects have besides their roles
    #[command(
        subcommand,
        after_help = "Example:\n  stanchion grant put user:bob payment:approve --emergency \\\n    --reason \"the approver is ill\" --tenant acme"
    )]
    Grant(Grant),
    /// Administer what is denied to whom, whatever roles they hold
    #[command(subcommand, after_help = "Example:\n  stanchion deny put user:bob report:* --tenant acme")]
    Deny(Deny),
    /// Administer who belongs to which group
    #[command(
        subcommand,
        after_help = "Example:\n  stanchion group add group:support user:bob --tenant acme"
    )]
    Group(Group),
    /// Administer roles that one subject may not have together
    #[command(
        subcommand,
        after_help = "Example:\n  stanchion separation put payments --name Payments \\\n    --role clerk --role approver --tenant acme"
    )]
    Separation(Separation),
    /// Administer sessions, in which only active roles count
    #[command(
        subcommand,
        after_help = "Example:\n  stanchion session create user:alice --role clerk --tenant acme"
    )]
    Session(RoleSession),
    /// See what there is to permit
    #[command(subcommand, after_help = "Example:\n  stanchion permission validate role:raed --tenant acme")]
    Permission(Permission),
    /// Ask who may do what, why, and what a change would do to that
    #[command(
        subcommand,
        after_help = "Example:\n  stanchion access explain user:bob report:delete --tenant acme"
    )]
    Access(Access),
    /// Administer rate limits
    #[command(
        subcommand,
        after_help = "Example:\n  stanchion limit put per-user --tenant acme --by user --limit 100 --window 1m"
    )]
    Limit(Limit),
    /// See what was used and what it costs
    #[command(subcommand, after_help = "Example:\n  stanchion usage show --tenant acme --period 2026-11")]
    Usage(Usage),
    /// Read the audit ledger, prove what is in it, and verify it
    #[command(subcommand, after_help = "Example:\n  stanchion audit verify --tenant acme")]
    Audit(Audit),
}

#[derive(Debug, Args)]
pub(crate) struct Quickstart {
    /// The gateway's port; the admin API has the one above [default: 8080, with --once any free ones]
    #[arg(long)]
    pub(crate) port: Option<u16>,
    /// Ask for everything, check what comes back, and end: 0 only if each was as promised
    #[arg(long)]
    pub(crate) once: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// The configuration
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Where everything is kept, whatever the configuration says
    #[arg(long, value_enum)]
    pub(crate) storage: Option<Backend>,
}

#[derive(Debug, Args)]
pub(crate) struct Migrate {
    /// The configuration
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Only say what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Only this domain, such as rbac, and the foundation that all rest on
    #[arg(long)]
    pub(crate) domain: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The configuration
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Do not look for the secrets: they are on another machine
    #[arg(long)]
    pub(crate) without_secrets: bool,
}

#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum Describe {
    /// Write every setting as a JSON Schema
    #[command(after_help = "Example:\n  stanchion config schema > config.schema.json")]
    Schema,
    /// Write every setting as a page, in Markdown
    #[command(after_help = "Example:\n  stanchion config reference > config.md")]
    Reference,
}
