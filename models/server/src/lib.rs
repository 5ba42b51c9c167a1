//! A server that captions pictures: a page for people, an API for programs.
//!
//! Requests are read, and pictures decoded, by the tasks of the requests, a few at a time. One thread runs the network,
//! and takes all pictures that wait at once, so that weights are read from memory once for all of them.

#![forbid(unsafe_code)]

mod answer;
mod body;
mod connections;
mod error;
mod limits;
mod metrics;
mod pages;
mod problem;
mod request;
mod router;
mod server;
mod state;
mod worker;

pub use error::ServeError;
pub use server::serve;
pub use state::Settings;
