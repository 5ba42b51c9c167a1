//! Pictures from the web.

mod address;
mod error;

use std::fmt;
use std::io::{self, ErrorKind, Read};
use std::net::IpAddr;
use std::time::Duration;

use ureq::config::Config;
use ureq::http::Uri;
use ureq::http::header::CONTENT_LENGTH;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Error};

pub use error::FetchError;

/// What fetching a picture may cost, and where it may come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchLimits {
    /// From the question to the last byte. Default: 10 seconds.
    pub time: Duration,
    /// Bytes of the encoded picture. Default: 10 million.
    pub bytes: u64,
    /// How often an address may lead to another. Default: 5.
    pub redirects: u32,
    /// Whether servers of this machine and of its own network may be asked. Default: no.
    pub allow_private: bool,
}

impl Default for FetchLimits {
    fn default() -> Self {
        FetchLimits {
            time: Duration::from_secs(10),
            bytes: 10_000_000,
            redirects: 5,
            allow_private: false,
        }
    }
}

/// The bytes at an address, for [`Picture::decode`](super::Picture::decode).
///
/// Whether an address is public is checked on the number that its name stands for, which is then connected to, for each
/// redirect anew. No proxy is used, since a proxy would look names up itself. Certificates are checked against the roots
/// that Mozilla trusts.
///
/// # Errors
/// When the address is not one of HTTP or HTTPS, is private, or its server does not answer with bytes within the limits.
pub fn fetch(url: &str, limits: &FetchLimits) -> Result<Vec<u8>, FetchError> {
    let allowed = if limits.allow_private { |_| true } else { address::is_public };
    fetch_from(url, limits, allowed)
}

fn fetch_from(
    url: &str,
    limits: &FetchLimits,
    allowed: fn(IpAddr) -> bool,
) -> Result<Vec<u8>, FetchError> {
    let uri = checked(url)?;
    let fault = |error| fault(url, limits, error);
    let config = Agent::config_builder()
        .timeout_global(Some(limits.time))
        .max_redirects(limits.redirects)
        .proxy(None)
        .user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")))
        // Servers that have a choice send a format that can be read.
        .accept("image/png, image/jpeg, image/webp")
        .build();
    let lookup = Lookup { resolver: DefaultResolver::default(), allowed };
    let agent = Agent::with_parts(config, DefaultConnector::default(), lookup);
    let mut answer = agent.get(uri).call().map_err(fault)?;
    let too_large = || FetchError::TooLarge { url: url.into(), limit: limits.bytes };
    let claimed = answer.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    if claimed
        .and_then(|length| length.parse().ok())
        .is_some_and(|length: u64| length > limits.bytes)
    {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    let body = answer.body_mut().as_reader();
    let read = body.take(limits.bytes.saturating_add(1)).read_to_end(&mut bytes);
    read.map_err(|error| fault(error.into()))?;
    if bytes.len() as u64 > limits.bytes { Err(too_large()) } else { Ok(bytes) }
}

/// The parts of an address of HTTP or HTTPS.
fn checked(url: &str) -> Result<Uri, FetchError> {
    let bad = |reason: String| FetchError::BadUrl { url: url.into(), reason };
    if let Some((scheme, _)) = url.split_once("://")
        && !["http", "https"].contains(&scheme.to_ascii_lowercase().as_str())
    {
        return Err(FetchError::Scheme { url: url.into(), found: scheme.into() });
    }
    let uri: Uri =
        url.parse().map_err(|error: ureq::http::uri::InvalidUri| bad(error.to_string()))?;
    match (uri.scheme_str(), uri.host()) {
        (Some("http" | "https"), Some(host)) if !host.is_empty() => Ok(uri),
        (Some(_), _) => Err(bad("it names no server".into())),
        (None, _) => Err(bad("expected `http://` or `https://` at its start".into())),
    }
}

/// What an error of the library means for this address.
fn fault(url: &str, limits: &FetchLimits, error: Error) -> FetchError {
    let url = url.to_owned();
    let reason = error.to_string();
    match error {
        Error::Other(other) => match other.downcast::<Stopped>() {
            Ok(stopped) => stopped.into(),
            Err(_) => FetchError::Connection { url, reason },
        },
        Error::StatusCode(code) => FetchError::Status { url, code },
        Error::Timeout(_) => FetchError::Timeout { url, limit: limits.time },
        Error::TooManyRedirects => FetchError::TooManyRedirects { url, limit: limits.redirects },
        // The address itself has been checked.
        Error::BadUri(reason) => FetchError::BadRedirect { url, reason },
        Error::RedirectFailed | Error::Http(_) => FetchError::BadRedirect { url, reason },
        Error::Io(error) => match error.kind() {
            ErrorKind::ConnectionRefused => FetchError::Refused { url },
            ErrorKind::TimedOut => FetchError::Timeout { url, limit: limits.time },
            ErrorKind::InvalidData => tls_or_connection(url, &error),
            _ => FetchError::Connection { url, reason: error.to_string() },
        },
        Error::Tls(_) | Error::Rustls(_) | Error::Pem(_) | Error::TlsRequired => {
            FetchError::Tls { url, reason }
        }
        Error::Protocol(_) | Error::LargeResponseHeader(..) => FetchError::Protocol { url, reason },
        _ => FetchError::Connection { url, reason },
    }
}

/// Faults of certificates come wrapped as bytes that were not expected.
fn tls_or_connection(url: String, error: &io::Error) -> FetchError {
    let reason = error.to_string();
    match error.get_ref() {
        Some(_) => FetchError::Tls { url, reason },
        None => FetchError::Connection { url, reason },
    }
}

/// Looks names up, and stops before a server that may not be asked is connected to.
struct Lookup {
    resolver: DefaultResolver,
    allowed: fn(IpAddr) -> bool,
}

impl Resolver for Lookup {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let host = uri.host().unwrap_or_default().to_owned();
        let found = match self.resolver.resolve(uri, config, timeout) {
            Err(Error::Io(_) | Error::HostNotFound) => {
                return Err(Stopped::NameNotFound { host }.into());
            }
            found => found?,
        };
        // One private address among others is enough: which of them is connected to is not known here.
        let private = found.iter().map(|found| found.ip()).find(|ip| !(self.allowed)(*ip));
        match private {
            Some(address) => Err(Stopped::Private { host, address }.into()),
            None => Ok(found),
        }
    }
}

impl fmt::Debug for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lookup").finish_non_exhaustive()
    }
}

/// Why a name was not followed, on its way through the library.
#[derive(Debug, thiserror::Error)]
#[error("stopped")]
enum Stopped {
    NameNotFound { host: String },
    Private { host: String, address: IpAddr },
}

impl From<Stopped> for Error {
    fn from(stopped: Stopped) -> Self {
        Error::Other(Box::new(stopped))
    }
}

impl From<Box<Stopped>> for FetchError {
    fn from(stopped: Box<Stopped>) -> Self {
        match *stopped {
            Stopped::NameNotFound { host } => FetchError::NameNotFound { host },
            Stopped::Private { host, address } => FetchError::Private { host, address },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    /// A server of this machine, which runs until the process ends.
    struct Server {
        at: SocketAddr,
        connections: Arc<AtomicUsize>,
    }

    impl Server {
        /// One that hands each connection to `answer`, with the path that it asks for, its own address first.
        fn new(answer: fn(SocketAddr, &str, &mut TcpStream) -> io::Result<()>) -> Self {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let at = listener.local_addr().unwrap();
            let connections = Arc::new(AtomicUsize::new(0));
            let counted = connections.clone();
            thread::spawn(move || {
                for mut stream in listener.incoming().flatten() {
                    counted.fetch_add(1, Ordering::SeqCst);
                    thread::spawn(move || {
                        let mut lines = BufReader::new(stream.try_clone()?).lines();
                        let first = lines.next().transpose()?.unwrap_or_default();
                        let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
                        while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
                        answer(at, &path, &mut stream)
                    });
                }
            });
            Server { at, connections }
        }

        fn fetch(&self, path: &str, limits: &FetchLimits) -> Result<Vec<u8>, FetchError> {
            fetch(&format!("http://{}{path}", self.at), limits)
        }
    }

    fn of_this_machine() -> FetchLimits {
        FetchLimits { allow_private: true, ..FetchLimits::default() }
    }

    fn web(at: SocketAddr, path: &str, stream: &mut TcpStream) -> io::Result<()> {
        let redirect = |to: String| format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\n\r\n");
        let number = path.rsplit('/').next().and_then(|n| n.parse::<u32>().ok());
        let head = match (path, number) {
            ("/cat", _) => "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ncat".into(),
            ("/chunks", _) => {
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ncat\r\n0\r\n\r\n".into()
            }
            ("/short", _) => "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\ncat".into(),
            ("/claims", _) => "HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n".into(),
            ("/endless", _) => "HTTP/1.1 200 OK\r\n\r\n".into(),
            ("/loop", _) => redirect("/loop".into()),
            ("/ftp", _) => redirect("ftp://example.org/cat".into()),
            ("/within", _) => redirect(format!("http://127.0.0.2:{}/cat", at.port())),
            ("/nonsense", _) => "SSH-2.0-OpenSSH_9.9\r\n".into(),
            ("/hangs", _) => "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nca".into(),
            (path, Some(0)) if path.starts_with("/redirects/") => redirect("/cat".into()),
            (path, Some(n)) if path.starts_with("/redirects/") => {
                redirect(format!("http://{at}/redirects/{}", n - 1))
            }
            (_, Some(code)) => format!("HTTP/1.1 {code} No\r\nContent-Length: 0\r\n\r\n"),
            _ => String::new(),
        };
        stream.write_all(head.as_bytes())?;
        match path {
            "/endless" => loop {
                stream.write_all(&[7; 4096])?;
            },
            "/hangs" => stream.read_to_end(&mut Vec::new()).map(|_| ()),
            _ => Ok(()),
        }
    }

    #[test]
    fn bytes_come_whole() {
        let server = Server::new(web);
        for path in ["/cat", "/chunks", "/redirects/0", "/redirects/4", "/cat#whiskers"] {
            assert_eq!(server.fetch(path, &of_this_machine()).unwrap(), b"cat", "{path}");
        }
        let exactly = FetchLimits { bytes: 3, ..of_this_machine() };
        assert_eq!(server.fetch("/cat", &exactly).unwrap(), b"cat");
    }

    #[test]
    fn what_is_too_much_is_left() {
        let server = Server::new(web);
        let tight = FetchLimits { bytes: 2, redirects: 3, ..of_this_machine() };
        for path in ["/cat", "/chunks", "/claims", "/endless"] {
            let error = server.fetch(path, &tight).unwrap_err();
            assert!(matches!(error, FetchError::TooLarge { limit: 2, .. }), "{path}: {error}");
        }
        for path in ["/loop", "/redirects/3"] {
            let error = server.fetch(path, &tight).unwrap_err();
            assert!(matches!(error, FetchError::TooManyRedirects { limit: 3, .. }), "{error}");
        }
        let hasty = FetchLimits { time: Duration::from_millis(300), ..of_this_machine() };
        let error = server.fetch("/hangs", &hasty).unwrap_err();
        assert!(matches!(error, FetchError::Timeout { .. }), "{error}");
        assert!(error.to_string().contains("300ms"), "{error}");
    }

    #[test]
    fn what_servers_do_wrong_is_told() {
        let server = Server::new(web);
        let fetch = |path: &str| server.fetch(path, &of_this_machine()).unwrap_err();
        for (code, expected) in
            [(404, "knows no picture"), (403, "who asks"), (503, "later"), (418, "browser")]
        {
            let error = fetch(&format!("/{code}"));
            assert!(matches!(error, FetchError::Status { code: found, .. } if found == code));
            assert!(error.help().contains(expected), "{}", error.help());
        }
        assert!(matches!(fetch("/short"), FetchError::Connection { .. }), "{}", fetch("/short"));
        assert!(matches!(fetch("/empty"), FetchError::Connection { .. }), "{}", fetch("/empty"));
        assert!(
            matches!(fetch("/nonsense"), FetchError::Protocol { .. }),
            "{}",
            fetch("/nonsense")
        );
        assert!(matches!(fetch("/ftp"), FetchError::BadRedirect { .. }), "{}", fetch("/ftp"));
        let secure = format!("https://{}/cat", server.at);
        let error = super::fetch(&secure, &of_this_machine()).unwrap_err();
        assert!(matches!(error, FetchError::Tls { .. } | FetchError::Connection { .. }), "{error}");
    }

    #[test]
    fn servers_of_this_network_are_not_asked() {
        let server = Server::new(web);
        for host in ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "0"] {
            let url = format!("http://{host}:{}/cat", server.at.port());
            let error = fetch(&url, &FetchLimits::default()).unwrap_err();
            assert!(matches!(error, FetchError::Private { .. }), "{url}: {error}");
            assert!(error.help().contains("--allow-private"));
        }
        assert_eq!(server.connections.load(Ordering::SeqCst), 0);
        // A server of the outside that leads inside: only the first of the two counts as outside here.
        let url = format!("http://{}/within", server.at);
        let error = fetch_from(&url, &of_this_machine(), |ip| ip == Ipv4Addr::LOCALHOST);
        assert!(
            matches!(&error, Err(FetchError::Private { host, .. }) if host == "127.0.0.2"),
            "{error:?}"
        );
        assert_eq!(server.connections.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn addresses_that_cannot_be_asked_are_named() {
        let fetch = |url: &str| fetch(url, &of_this_machine()).unwrap_err();
        for url in ["", "cat.jpg", "example.org/cat.jpg", "http://", "http:///cat", "http://a b/c"]
        {
            let error = fetch(url);
            assert!(matches!(error, FetchError::BadUrl { .. }), "{url}: {error:?}");
        }
        for url in ["ftp://example.org/cat.jpg", "file:///cat.jpg"] {
            assert!(matches!(fetch(url), FetchError::Scheme { .. }), "{url}");
        }
        let error = fetch("http://no-such-server.invalid/cat.jpg");
        assert_eq!(error.to_string(), "there is no server `no-such-server.invalid`");
        // A port that was free a moment ago.
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        assert!(matches!(fetch(&format!("http://{free}/cat")), FetchError::Refused { .. }));
    }
}
