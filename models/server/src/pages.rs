//! What a browser is given: one page with its style and script, and the description of the API.

use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use engine_datasets::info::grouped;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde::Serialize;

use crate::limits::{MOST_BYTES, MOST_PIXELS, WIDEST};

/// What pages may do: show and run what comes from this server, show pictures that a user has chosen, and ask this
/// server alone.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The palette and type of reports, which pages share.
const FAMILY: &str = include_str!("../../report/src/page.css");
const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");
const BODY: &str = include_str!("page/page.html");
const API: &str = include_str!("page/api.html");
const OPENAPI: &str = include_str!("page/openapi.json");

/// The page of a run.
pub(crate) fn page(run: &str) -> String {
    let script = html! { script src="/page.js" defer {} };
    document(&format!("Captions by {run}"), &script, &filled(BODY)).into_string()
}

fn document(title: &str, script: &Markup, body: &str) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                link rel="icon" href="data:,";
                title { (title) }
                link rel="stylesheet" href="/family.css";
                link rel="stylesheet" href="/page.css";
                (script)
            }
            body {
                header { h1 { (title) } }
                (PreEscaped(body))
            }
        }
    }
}

/// A text with the numbers of this server's limits in place of their names.
fn filled(text: &str) -> String {
    text.replace("{MOST_BYTES,}", &grouped(MOST_BYTES))
        .replace("{MOST_PIXELS,}", &grouped(MOST_PIXELS))
        .replace("{MOST_BYTES}", &MOST_BYTES.to_string())
        .replace("{WIDEST}", &WIDEST.to_string())
}

pub(crate) async fn family() -> Response {
    text("text/css; charset=utf-8", FAMILY)
}

pub(crate) async fn style() -> Response {
    text("text/css; charset=utf-8", STYLE)
}

pub(crate) async fn script() -> Response {
    text("text/javascript; charset=utf-8", SCRIPT)
}

pub(crate) async fn api() -> Response {
    let page = document("The API", &html! {}, &filled(API)).into_string();
    text("text/html; charset=utf-8", page)
}

pub(crate) async fn openapi() -> Response {
    text("application/json", filled(OPENAPI))
}

/// A text of this kind.
pub(crate) fn text(kind: &'static str, text: impl IntoResponse) -> Response {
    let mut response = text.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// Something as JSON.
pub(crate) fn json(value: &impl Serialize) -> Response {
    // Every key is a text, so that this cannot fail.
    text("application/json", serde_json::to_string(value).unwrap_or_default())
}

/// Headers of every answer.
pub(crate) fn guarded(mut response: Response) -> Response {
    let headers = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
