//! A server that captions pictures: a page for people, an API for programs.
//!
//! Requests are read, and pictures decoded, by the tasks of the requests, a few at a time. One thread runs the network,
//! and takes all pictures that wait at once, so that weights are read from memory once for all of them.

mod answer;
mod asked;
mod body;
mod connections;
mod house;
mod inference;
mod limits;
mod metrics;
mod pages;
mod problem;

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, mpsc};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use engine_core::graph::Passes;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

use crate::error::Error;
use crate::photographs::Photographs;
use connections::Signals;
use house::House;
use inference::{Bench, Message};
use metrics::Metrics;
use problem::Problem;

pub use house::Settings;

/// A server that cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {error}")]
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
}

impl ServeError {
    /// What to try.
    pub fn help(&self) -> Option<String> {
        match self {
            ServeError::Bind { error, .. } if error.kind() == std::io::ErrorKind::AddrInUse => {
                Some(
                    "another program has it: choose another with --port N, or --port 0 for any"
                        .into(),
                )
            }
            ServeError::Bind { .. } => {
                Some("give an address of this machine with --bind, and a port above 1023".into())
            }
            ServeError::Start(_) => None,
        }
    }
}

/// Threads that read requests: the network's work is elsewhere.
const READERS: usize = 2;

/// Listens, says where by calling `ready`, and answers until a signal asks the process to end.
///
/// # Errors
/// When the address cannot be listened on, or the run's parameters are not its network's.
pub fn serve(
    photographs: Photographs,
    passes: &Passes,
    settings: Settings,
    ready: impl FnOnce(SocketAddr),
) -> Result<(), Error> {
    let address = SocketAddr::new(settings.bind, settings.port);
    let bind = |error| ServeError::Bind { address, error };
    let listener = TcpListener::bind(address).map_err(bind)?;
    let address = listener.local_addr().map_err(bind)?;
    listener.set_nonblocking(true).map_err(bind)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(READERS)
        .enable_all()
        .build()
        .map_err(ServeError::Start)?;

    let (counter, queue) = mpsc::channel();
    let metrics = Arc::new(Metrics::new());
    let (decoder, patience) = (photographs.decoder(), settings.timeout);
    let bench = Bench { decoder: &*decoder, most: settings.batch, metrics: &metrics };
    let processors = available_parallelism().map_or(1, usize::from);
    let house = House {
        preprocess: photographs.preprocess().clone(),
        vocabulary: photographs.vocabulary().clone(),
        metrics: metrics.clone(),
        counter: counter.clone(),
        places: Semaphore::new(settings.queue),
        decoding: Arc::new(Semaphore::new(processors)),
        fetching: Arc::new(Semaphore::new(limits::FETCHES)),
        page: pages::page(photographs.name()),
        settings,
    };
    let router = router(Arc::new(house));
    photographs.describe(passes, |describe| -> Result<(), Error> {
        let begin = async { Ok((tokio::net::TcpListener::from_std(listener)?, Signals::new()?)) };
        let (listener, signals) = runtime.block_on(begin).map_err(ServeError::Start)?;
        runtime.spawn(async move {
            connections::serve(listener, router, signals, patience).await;
            let _ = counter.send(Message::End);
        });
        ready(address);
        bench.work(describe, &queue);
        Ok(())
    })??;
    end(runtime);
    Ok(())
}

/// Ends what is left: a connection that nobody closes, a picture that is still being fetched.
fn end(runtime: Runtime) {
    runtime.shutdown_timeout(Duration::from_millis(200));
}

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

fn router(house: Arc<House>) -> Router {
    let page = |State(house): State<Arc<House>>| async move {
        pages::text("text/html; charset=utf-8", house.page.clone())
    };
    let metrics = |State(house): State<Arc<House>>| async move {
        pages::text("text/plain; version=0.0.4; charset=utf-8", house.metrics.text())
    };
    let healthy = || async { pages::json(&serde_json::json!({ "status": "ok" })) };
    let only = |methods: &'static str, route: MethodRouter<Arc<House>>| {
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
        .layer(from_fn_with_state(house.clone(), counted))
        .with_state(house)
}

/// Counts an answer, and puts the headers on it that every answer has.
async fn counted(State(house): State<Arc<House>>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let asked = request.uri().path();
    let path = PATHS.iter().find(|path| **path == asked).copied().unwrap_or("other");
    let response = next.run(request).await;
    let status = response.status().as_u16();
    house.metrics.answered(path, status, begun.elapsed(), path == CAPTION);
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
