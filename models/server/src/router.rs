//! Which path is answered by what.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};

use crate::problem::Problem;
use crate::state::AppState;
use crate::{answer, body, pages};

/// The paths that are answered. Counts are kept by these names, and not by whatever is asked for.
const PATHS: [&str; 9] = [
    "/",
    "/family.css",
    "/page.css",
    "/page.js",
    "/api",
    "/api/openapi.json",
    CAPTION,
    "/healthz",
    "/metrics",
];
const CAPTION: &str = "/api/caption";

pub(crate) fn router(state: Arc<AppState>) -> Router {
    let page = |State(state): State<Arc<AppState>>| async move {
        pages::text("text/html; charset=utf-8", state.page.clone())
    };
    let metrics = |State(state): State<Arc<AppState>>| async move {
        pages::text("text/plain; version=0.0.4; charset=utf-8", state.metrics.text())
    };
    let healthy = || async { pages::json(&serde_json::json!({ "status": "ok" })) };
    let only = |methods: &'static str, route: MethodRouter<Arc<AppState>>| {
        route.fallback(move |request: Request| wrong_method(methods, request))
    };
    Router::new()
        .route("/", only("GET", get(page)))
        .route("/family.css", only("GET", get(pages::family)))
        .route("/page.css", only("GET", get(pages::style)))
        .route("/page.js", only("GET", get(pages::script)))
        .route("/api", only("GET", get(pages::api)))
        .route("/api/openapi.json", only("GET", get(pages::openapi)))
        .route(CAPTION, only("POST", post(answer::caption)))
        .route("/healthz", only("GET", get(healthy)))
        .route("/metrics", only("GET", get(metrics)))
        .fallback(unknown_path)
        // Bodies are limited where they are read.
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(state.clone(), counted))
        .with_state(state)
}

/// Counts an answer, and puts the headers on it that every answer has.
async fn counted(State(state): State<Arc<AppState>>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let asked = request.uri().path();
    let path = PATHS.iter().find(|path| **path == asked).copied().unwrap_or("other");
    let response = next.run(request).await;
    let status = response.status().as_u16();
    state.metrics.answered(path, status, begun.elapsed(), path == CAPTION);
    pages::guarded(response)
}

async fn unknown_path(request: Request) -> Response {
    let path = request.uri().path().to_owned();
    body::drain(request.into_body()).await;
    Problem::new(StatusCode::NOT_FOUND, "path", "there is nothing at this path")
        .expected(PATHS.join(", "))
        .found(path)
        .help("/api says what there is")
        .into_response()
}

async fn wrong_method(methods: &'static str, request: Request) -> Response {
    let method = request.method().to_string();
    body::drain(request.into_body()).await;
    let mut response =
        Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method", "this path is not asked so")
            .expected(methods)
            .found(method)
            .help("/api says how it is asked")
            .into_response();
    let allowed = axum::http::HeaderValue::from_static(methods);
    response.headers_mut().insert(axum::http::header::ALLOW, allowed);
    response
}
