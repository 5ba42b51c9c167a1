//! The bytes of a request's body.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode, header};
use engine_datasets::info::grouped;
use http_body_util::BodyExt;

use crate::limits::{DRAIN_TIME, DRAINED, MOST_BYTES};
use crate::problem::Problem;

/// Reads a body whole, unless it is too large.
///
/// # Errors
/// When it is, or breaks off.
pub(crate) async fn read(mut body: Body, headers: &HeaderMap) -> Result<Bytes, Problem> {
    if let Some(length) = declared(headers).filter(|length| *length > MOST_BYTES as u64) {
        drain(body).await;
        return Err(Problem::too_large(format!("{} bytes", grouped(length))));
    }
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let data = frame.map_err(broken_off)?.into_data().unwrap_or_default();
        if bytes.len() + data.len() > MOST_BYTES {
            drain(body).await;
            return Err(Problem::too_large(format!("more than {} bytes", grouped(MOST_BYTES))));
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes.into())
}

/// Reads what is left of a body and forgets it: a connection that closes on someone who is still writing takes the
/// answer with it.
pub(crate) async fn drain(mut body: Body) {
    let all = async {
        let mut left = DRAINED;
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
            if left == 0 {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(DRAIN_TIME, all).await;
}

/// The length that the head of a request says its body has.
fn declared(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn broken_off(error: axum::Error) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "body", format!("the body breaks off: {error}"))
        .expected("as many bytes as its head says, or whole chunks")
        .found("fewer")
        .help("send it again")
}
