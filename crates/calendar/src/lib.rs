//! Calendar windows and billing periods in a stated time zone
