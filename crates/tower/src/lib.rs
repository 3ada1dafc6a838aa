//! HTTP edges for any tower service: problem documents, client addresses, rate-limit headers and the governing layer
