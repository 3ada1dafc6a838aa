//! The stanchion program: configuration, wiring, workers and command line
