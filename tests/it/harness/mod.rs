//! What the tests stand on: the program, a service behind it, and clients that speak HTTP/1.1 byte by byte.

mod client;
mod eventually;
mod message;
mod postgres;
mod program;
mod redis;
mod upstream;
mod world;

pub(crate) use client::{Client, ask};
pub(crate) use eventually::{elapsed, eventually};
pub(crate) use message::Message;
pub(crate) use postgres::PostgresServer;
pub(crate) use program::{Program, Site, command, fresh_database};
pub(crate) use redis::RedisServer;
pub(crate) use upstream::{Upstream, digest, pattern};
pub(crate) use world::{World, refused_port};
