//! Which algorithm to take, what each promises, and what it costs.
//!
//! | you want | take | most over any stretch as long as the window | kept per counter |
//! |---|---|---|---|
//! | a steady rate that forgives a burst | [token bucket](#token-bucket) | capacity + refill | 16 bytes |
//! | requests spaced evenly | [GCRA](#gcra) | limit + burst | 16 bytes |
//! | the same, thought of as a bucket that runs out | [leaky bucket](#leaky-bucket) | capacity + leak | 16 bytes |
//! | to make callers wait their turn rather than refuse them | [leaky queue](#leaky-queue) | leak + 1 go | 16 bytes |
//! | a quota that people can reason about: so many a day, a month | [fixed window](#fixed-window) | twice the capacity | 16 bytes |
//! | a quota without that doubling, cheaply | [sliding window](#sliding-window) | less than twice; used evenly, capacity + 1 | 16 bytes |
//! | exactly so many over any minute | [sliding log](#sliding-log) | capacity | 32 bytes per charge |
//! | so many at the same time | [concurrency](#concurrency) | does not apply: at any instant, capacity | 32 bytes per lease |
//!
//! If in doubt, take the token bucket: no window to wait for, nothing to estimate, the cheapest in every store. A store adds the key and
//! its own book-keeping: [`MemoryCounterStore`](crate::MemoryCounterStore) needs about 75 bytes for a counter of 16. Where the
//! algorithm keeps every charge, a limit is at most [`EntryLimit::MAX`](super::EntryLimit::MAX).
//!
//! # What holds for all of them
//!
//! A charge fits as a whole or takes nothing. `retry_after` is exact: after it the charge fits if nobody else used the counter, and a
//! microsecond earlier it does not; it is `None` where the cost is more than the limit ever gives. A clock that steps back gives
//! nothing back. A changed limit keeps what is used. What was charged can be corrected later, also beyond the limit, and what has come
//! back by itself is not given back again.
//!
//! Levels (the first four) count by ticks of a millionth of the window. Over an hour a unit can be back up to 3.6 ms sooner or later than
//! by a division that goes on; over the window the sum is exact, and what they tell is what they do.
//!
//! # Token bucket
//!
//! ```
//! # use std::time::Duration;
//! # use stanchion_core::Timestamp;
//! # use stanchion_ratelimit::Limit;
//! // 100 at once, and 50 more each second.
//! let limit = Limit::token_bucket(100, 50, 1).ok_or("numbers out of range")?;
//! let now = Timestamp::parse_rfc3339("2026-03-01T12:00:00Z")?;
//! let (state, standing) = limit.charge(None, now, 100);
//! assert!(standing.fits);
//! let (_, refused) = limit.charge(Some(state), now, 2);
//! assert_eq!(refused.retry_after, Some(Duration::from_millis(40)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # GCRA
//!
//! ```
//! # use std::time::Duration;
//! # use stanchion_core::Timestamp;
//! # use stanchion_ratelimit::Limit;
//! // Ten a second, one each 100 ms, and three may come together.
//! let limit = Limit::gcra(10, 3, 1).ok_or("numbers out of range")?;
//! let now = Timestamp::parse_rfc3339("2026-03-01T12:00:00Z")?;
//! let (state, _) = limit.charge(None, now, 3);
//! assert_eq!(limit.charge(Some(state), now, 1).1.retry_after, Some(Duration::from_millis(100)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Leaky bucket
//!
//! ```
//! # use stanchion_ratelimit::Limit;
//! // Holds 20, and 5 run out each second: the mirror image of a token bucket.
//! let limit = Limit::leaky_bucket(20, 5, 1).ok_or("numbers out of range")?;
//! assert_eq!(Some(limit), Limit::token_bucket(20, 5, 1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Leaky queue
//!
//! Whoever is admitted waits for its `delay` and then goes. Any [`Level`](super::Level) can be made to delay what comes too early, up to
//! a bound: [`Level::with_delay`](super::Level::with_delay).
//!
//! ```
//! # use std::time::Duration;
//! # use stanchion_core::Timestamp;
//! # use stanchion_ratelimit::{Adjustment, Limit};
//! // Four a second; two may wait.
//! let limit = Limit::leaky_queue(2, 4, 1).ok_or("numbers out of range")?;
//! let now = Timestamp::parse_rfc3339("2026-03-01T12:00:00Z")?;
//! let (state, first) = limit.charge(None, now, 1);
//! let (state, second) = limit.charge(Some(state), now, 1);
//! let (state, third) = limit.charge(Some(state), now, 1);
//! assert_eq!([first, second, third].map(|one| one.delay.as_millis()), [0, 250, 500]);
//! assert!(!limit.charge(Some(state), now, 1).1.fits);
//!
//! // The third does not want to wait: its place is free. It was charged for its turn.
//! let state = limit.settle(Some(state), now, now.plus(third.delay), Adjustment::Return(1));
//! assert_eq!(limit.charge(state, now, 1).1.delay, Duration::from_millis(500));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Fixed window
//!
//! Windows are as long as you say, or days and months of a zone. A caller who uses one up at its end and the next at its start gets
//! twice the capacity in a moment, so it is for quotas and not for what a backend bears.
//!
//! ```
//! # use stanchion_calendar::{Window, Zone};
//! # use stanchion_core::Timestamp;
//! # use stanchion_ratelimit::{Edges, Frame, Limit};
//! // 1,000 in each month of Berlin.
//! let berlin: Zone = "Europe/Berlin".parse()?;
//! let now = Timestamp::parse_rfc3339("2026-03-31T23:59:59+02:00")?;
//! let month = Frame::Calendar(Edges::around(Window::MONTH, now, berlin));
//! let limit = Limit::fixed_window(1_000, month).ok_or("numbers out of range")?;
//! let (state, _) = limit.charge(None, now, 1_000);
//! assert_eq!(limit.charge(Some(state), now, 1).1.retry_after.map(|wait| wait.as_secs()), Some(1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Sliding window
//!
//! What this window has used, and of what the one before has used the part that is still within a window's length. That part is an
//! estimate, as if it had been used evenly.
//!
//! ```
//! # use std::num::NonZeroU64;
//! # use stanchion_core::Timestamp;
//! # use stanchion_ratelimit::{Frame, Limit};
//! let minute = NonZeroU64::new(60_000_000).ok_or("not zero")?;
//! let limit = Limit::sliding_window(100, Frame::Every(minute)).ok_or("numbers out of range")?;
//! let (state, _) = limit.charge(None, Timestamp::parse_rfc3339("2026-03-01T12:00:59Z")?, 100);
//! // A quarter into the next minute, three quarters of them count.
//! let quarter = Timestamp::parse_rfc3339("2026-03-01T12:01:15Z")?;
//! assert_eq!(limit.charge(Some(state), quarter, 0).1.remaining, 25);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Sliding log
//!
//! ```
//! # use std::time::Duration;
//! # use stanchion_core::Timestamp;
//! # use stanchion_ratelimit::{CallId, Entries, Entry, EntryLimit};
//! // Three in any minute. Every charge is kept until it is a minute old.
//! let limit = EntryLimit::new(3, Duration::from_secs(60)).ok_or("numbers out of range")?;
//! let now = Timestamp::parse_rfc3339("2026-03-01T12:00:00Z")?;
//! let mut log = Entries::new();
//! log.add(Entry { until: limit.until(now), id: CallId::new(1), amount: 3 });
//! let later = now.plus(Duration::from_secs(59));
//! let refused = limit.standing(&log.in_use(&limit, later, 1), later, 1);
//! assert_eq!(refused.retry_after, Some(Duration::from_secs(1)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Concurrency
//!
//! ```
//! # use std::time::Duration;
//! # use stanchion_core::Timestamp;
//! # use stanchion_ratelimit::{Adjustment, CallId, Entries, Entry, EntryLimit};
//! // Two at the same time. A lease ends with its work, or by itself after 30 seconds.
//! let limit = EntryLimit::new(2, Duration::from_secs(30)).ok_or("numbers out of range")?;
//! let now = Timestamp::parse_rfc3339("2026-03-01T12:00:00Z")?;
//! let mut leases = Entries::new();
//! for number in [1, 2] {
//!     leases.add(Entry { until: limit.until(now), id: CallId::new(number), amount: 1 });
//! }
//! assert!(!limit.standing(&leases.in_use(&limit, now, 1), now, 1).fits);
//! leases.settle(CallId::new(1), limit.until(now), Adjustment::Return(1));
//! assert!(limit.standing(&leases.in_use(&limit, now, 1), now, 1).fits);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
