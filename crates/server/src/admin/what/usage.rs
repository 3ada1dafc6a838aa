use clap::Subcommand;

use crate::admin::args::Scoped;

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
