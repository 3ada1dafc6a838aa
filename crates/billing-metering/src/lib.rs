//! Usage metering and what it costs
