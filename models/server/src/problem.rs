//! Answers to requests that cannot be met: what was expected, what was found, what to try.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use engine::photographs::reading::Unread;
use engine_datasets::info::grouped;
use serde::Serialize;

use crate::limits::{MOST_BYTES, MOST_PIXELS};

/// A request that cannot be met.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Problem {
    #[serde(skip)]
    status: StatusCode,
    /// A word for programs.
    kind: &'static str,
    error: String,
    expected: String,
    found: String,
    help: String,
    /// Seconds after which it may be worth another try.
    #[serde(skip)]
    retry_after: Option<u16>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, kind: &'static str, error: impl Into<String>) -> Self {
        let (expected, found, help) = Default::default();
        Problem { status, kind, error: error.into(), expected, found, help, retry_after: None }
    }

    pub(crate) fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = expected.into();
        self
    }

    pub(crate) fn found(mut self, found: impl Into<String>) -> Self {
        self.found = found.into();
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = help.into();
        self
    }

    /// A body of more bytes than are read.
    pub(crate) fn too_large(found: impl Into<String>) -> Self {
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "the body is too large")
            .expected(format!("at most {} bytes", grouped(MOST_BYTES)))
            .found(found)
            .help("send a smaller picture: 1,000 pixels a side are more than a network reads")
    }

    /// All places are taken.
    pub(crate) fn full(places: usize) -> Self {
        let problem = Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "queue-full",
            "the server is busy with other pictures",
        );
        let problem = problem.expected(format!("fewer than {places} requests at once"));
        let problem = problem.found(format!("{places} that are being answered"));
        Problem { retry_after: Some(1), ..problem.help("try again after a second") }
    }

    /// The answer took too long.
    pub(crate) fn late(seconds: u64) -> Self {
        Problem::new(StatusCode::REQUEST_TIMEOUT, "timeout", "the request was not answered in time")
            .expected(format!("at most {seconds} s from its first line to the answer"))
            .found("a body that comes slowly, an address that does, or a long queue")
            .help("send it again, or a smaller picture")
    }

    /// A picture with more pixels than are decoded, or none that can be read.
    pub(crate) fn picture(kind: &'static str, error: String, help: String) -> Self {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, kind, error)
            .expected(format!(
                "a JPEG, PNG or WebP picture of at most {} pixels",
                grouped(MOST_PIXELS)
            ))
            .help(help)
    }

    /// A fault of this program.
    pub(crate) fn fault(error: String) -> Self {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "fault", error)
            .help("the server's standard error may say more")
    }
}

impl From<Unread> for Problem {
    fn from(unread: Unread) -> Self {
        let Unread { kind, message, help, is_elsewhere } = unread;
        match is_elsewhere {
            true => Problem::new(StatusCode::BAD_GATEWAY, kind, message)
                .expected("an address that gives a picture")
                .help(help),
            false => Problem::picture(kind, message, help),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let text = serde_json::to_string(&self).unwrap_or_default();
        let mut response = Response::new(Body::from(text));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
