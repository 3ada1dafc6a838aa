mod audit;
mod limit;
mod usage;

pub(crate) use audit::{Audit, ExportFormat, Hold, Wanted};
pub(crate) use limit::{Limit, Override, Quarantine};
pub(crate) use usage::Usage;
