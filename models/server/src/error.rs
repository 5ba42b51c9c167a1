//! Servers that cannot begin.

use std::net::SocketAddr;

use engine::photographs::PhotographsError;

/// A server that cannot begin.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {error}")]
    #[diagnostic(help("{}", other_address(error)))]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The system's reason.
        #[source]
        error: std::io::Error,
    },
    /// The system does not give what a server needs: threads, or signals.
    #[error("cannot start the server: {0}")]
    Start(#[source] std::io::Error),
    /// The run cannot caption pictures.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Photographs(#[from] PhotographsError),
}

fn other_address(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            "another program has it: choose another with --port N, or --port 0 for any"
        }
        _ => "give an address of this machine with --bind, and a port above 1023",
    }
}
