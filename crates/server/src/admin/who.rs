use std::path::PathBuf;

use clap::Subcommand;

use crate::admin::args::{Listed, Scoped, Session};

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
        after_help = "Examples:\n  stanchion key create --tenant acme --subject service:etl --name nightly\n  stanchion key create --admin --config stanchion.toml"
    )]
    Create {
        /// Make an administrator of the platform, straight in the stores: for when there is nobody yet who could be asked
        #[arg(long = "admin", requires = "config", conflicts_with_all = ["environment", "expires_at", "cidr", "tenant"])]
        administrator: bool,
        /// With --admin: the configuration that says where the stores are
        #[arg(long, value_name = "FILE", requires = "administrator")]
        config: Option<PathBuf>,
        /// With --admin: where to put the key, for this file's owner alone to read; left out, it is shown
        #[arg(long, value_name = "FILE", requires = "administrator")]
        key_file: Option<PathBuf>,
        /// Whom it authenticates: user:ID or service:ID
        #[arg(long, required_unless_present = "administrator")]
        subject: Option<String>,
        /// What people call it
        #[arg(long, required_unless_present = "administrator")]
        name: Option<String>,
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
