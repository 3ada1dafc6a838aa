//! Usage metering: events in, exact totals and their cost out.
//!
//! Producers report [`UsageEvent`]s with an id and a time of their own. Each is counted exactly once, in the period its time lies in,
//! however often and however late it is sent. A [`Catalog`] says which [`Meter`]s there are and what they cost; an [`Engine`] over a
//! [`UsageStore`] takes events in, adds them up and prices them. Quantities and prices are decimals throughout, and amounts are
//! rounded once per line.
//!
//! ```
//! use std::sync::Arc;
//!
//! use stanchion_billing_metering::{
//!     Aggregation, Catalog, Config, Currency, Engine, MemoryUsageStore, Meter, MeterId, Price, RateCard, UsageEvent,
//! };
//! use stanchion_calendar::{Month, Zone};
//! use stanchion_core::{Clock, ManualClock, TenantId, Timestamp};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let calls = MeterId::new("api.calls")?;
//! let meter = Meter {
//!     id: calls.clone(),
//!     name: "API calls".parse()?,
//!     unit: "call".parse()?,
//!     aggregation: Aggregation::Count,
//! };
//! let price = Price::per_unit("0.0001".parse()?)?;
//! let rates = RateCard { currency: Currency::USD, rates: [(calls.clone(), price)].into() };
//! let catalog = Catalog::new([meter], rates)?;
//!
//! let clock = Arc::new(ManualClock::at(Timestamp::parse_rfc3339("2026-03-14T12:00:00Z")?));
//! let store = Arc::new(MemoryUsageStore::default());
//! let (engine, recorder) = Engine::new(store, catalog, clock.clone(), clock.clone(), Config::default());
//!
//! let acme: TenantId = "0192f0c1-2345-7abc-8def-0123456789ab".parse()?;
//! for number in 0..1_234 {
//!     let id = format!("request-{number}");
//!     engine.submit(UsageEvent::new(acme, "gateway", id, calls.clone(), clock.now(), 1.into()))?;
//! }
//! // A server runs the recorder beside its callers; here it carries what waits and ends.
//! engine.close();
//! recorder.run().await;
//!
//! let march = "2026-03".parse::<Month>()?.period(Zone::UTC);
//! let cost = engine.cost(acme, march).await?;
//! assert_eq!(cost.lines[0].quantity.to_string(), "1234");
//! assert_eq!(cost.lines[0].price, "0.0001 USD per call");
//! assert_eq!(cost.lines[0].precise.to_string(), "0.1234");
//! assert_eq!(cost.total.to_string(), "0.12 USD");
//! # Ok(())
//! # }
//! ```

mod catalog;
mod config;
#[cfg(feature = "conformance")]
pub mod conformance;
mod cost;
mod currency;
mod decimal;
mod dimensions;
mod engine;
mod error;
mod event;
mod memory;
mod meter;
mod money;
mod outcome;
mod price;
mod recorder;
mod stats;
mod store;

pub use catalog::{Catalog, InvalidCatalog, RateCard};
pub use config::Config;
pub use cost::{Cost, CostLine, MeterUsage};
pub use currency::{Currency, UnknownCurrency};
pub use dimensions::Dimensions;
pub use engine::{Engine, Place};
pub use error::Error;
pub use event::UsageEvent;
pub use memory::{MemoryConfig, MemoryUsageStore};
pub use meter::{Aggregation, Meter, MeterId};
pub use money::{Money, MoneyError};
pub use outcome::{Outcome, Refused, Rejection};
pub use price::{Charge, ChargePart, InvalidPrice, Price, PriceError, PriceModel, Tier};
pub use recorder::Recorder;
pub use stats::Stats;
pub use store::{AppendOutcome, EventPosition, Filter, MeterTotal, StoredEvent, Total, UsageStore};
