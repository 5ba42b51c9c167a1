//! What can go wrong when a picture is fetched, and what to do about it.

use std::net::IpAddr;
use std::time::Duration;

use thiserror::Error;

/// Why an address gives no bytes. [`help`](Self::help) says what to try.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The address is not a URL.
    #[error("`{url}` is not the address of a picture: {reason}")]
    BadUrl {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },

    /// The address asks for another protocol.
    #[error("`{url}` begins with `{found}`, expected `http` or `https`")]
    Scheme {
        /// What was given.
        url: String,
        /// The protocol that it names.
        found: String,
    },

    /// The server's name is not known.
    #[error("there is no server `{host}`")]
    NameNotFound {
        /// The name, of the address that was given or of one that it leads to.
        host: String,
    },

    /// The server is on this machine or in its own network.
    #[error("the server `{host}` is not on the public internet: its address is {address}")]
    Private {
        /// The server's name.
        host: String,
        /// What the name stands for.
        address: IpAddr,
    },

    /// The machine answers, and no server runs there.
    #[error("the server of `{url}` refuses to be connected to")]
    Refused {
        /// What was given.
        url: String,
    },

    /// The connection cannot be made, or breaks off before the last byte.
    #[error("the connection to the server of `{url}` fails: {reason}")]
    Connection {
        /// What was given.
        url: String,
        /// What the system says.
        reason: String,
    },

    /// The connection cannot be made secure.
    #[error("the server of `{url}` does not prove who it is: {reason}")]
    Tls {
        /// What was given.
        url: String,
        /// What is wrong.
        reason: String,
    },

    /// The answer does not follow HTTP.
    #[error("the answer of the server of `{url}` cannot be understood: {reason}")]
    Protocol {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },

    /// Not all of it came in time.
    #[error("`{url}` took longer than {limit:?}")]
    Timeout {
        /// What was given.
        url: String,
        /// The time that was allowed.
        limit: Duration,
    },

    /// The server answers, but not with a picture.
    #[error("the server of `{url}` answers with status {code}, expected 200")]
    Status {
        /// What was given.
        url: String,
        /// The status of HTTP.
        code: u16,
    },

    /// More bytes than the limits allow.
    #[error("`{url}` has more than {limit} bytes, the most that are fetched")]
    TooLarge {
        /// What was given.
        url: String,
        /// The most bytes that are allowed.
        limit: u64,
    },

    /// The address leads to another, that one to the next, and so on.
    #[error("`{url}` leads from one address to another more than {limit} times")]
    TooManyRedirects {
        /// What was given.
        url: String,
        /// The most redirects that are followed.
        limit: u32,
    },

    /// The address leads to one that cannot be fetched.
    #[error("`{url}` leads to an address that cannot be fetched: {reason}")]
    BadRedirect {
        /// What was given.
        url: String,
        /// What is wrong with the other address.
        reason: String,
    },
}

impl FetchError {
    /// What to try.
    pub fn help(&self) -> &'static str {
        match self {
            FetchError::BadUrl { .. } => {
                "give an address such as `https://example.org/cat.jpg`, with `%20` for a space"
            }
            FetchError::Scheme { .. } => {
                "give an address that begins with `https://`, or the path of a file"
            }
            FetchError::NameNotFound { .. } => {
                "check the name in the address, and the connection to the internet"
            }
            FetchError::Private { .. } => {
                "allow addresses of this machine and of its network with `--allow-private`, if \
                 whoever gives the address may reach them"
            }
            FetchError::Refused { .. } => "check the address and its port",
            FetchError::Connection { .. } => "check the connection to the internet, and try again",
            FetchError::Tls { .. } => {
                "check the address and this machine's clock, or download the picture with a \
                 browser and give the file"
            }
            FetchError::Protocol { .. } => {
                "check that the address and its port are those of a web server"
            }
            FetchError::Timeout { .. } => "try again, or allow more time",
            FetchError::Status { code: 401 | 403, .. } => {
                "the server wants to know who asks: download the picture with a browser and give \
                 the file"
            }
            FetchError::Status { code: 404 | 410, .. } => {
                "check the address: the server knows no picture there"
            }
            FetchError::Status { code: 429 | 500.., .. } => {
                "the server is busy or out of order: try again later"
            }
            FetchError::Status { .. } => "open the address in a browser to see what is there",
            FetchError::TooLarge { .. } => {
                "give a smaller version of the picture, or allow more bytes"
            }
            FetchError::TooManyRedirects { .. } | FetchError::BadRedirect { .. } => {
                "open the address in a browser and give the one at which it ends"
            }
        }
    }
}
