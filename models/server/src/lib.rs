//! A server that captions pictures: a page for people, an API for programs.
//!
//! Requests are read, and pictures decoded, by the tasks of the requests, a few at a time. One thread runs the network,
//! and takes all pictures that wait at once, so that weights are read from memory once for all of them.

#![forbid(unsafe_code)]

mod answer;
mod asked;
mod body;
mod connections;
mod error;
mod house;
mod inference;
mod limits;
mod metrics;
mod pages;
mod problem;
mod router;
mod server;

pub use error::ServeError;
pub use house::Settings;
pub use server::serve;
