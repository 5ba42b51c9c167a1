//! Connections: from the socket to the router, until a signal comes.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::limits::CONNECTIONS;

/// The signals that end the server.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(crate) fn new() -> std::io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        Ok(Signals { terminate, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for one; returns its number.
    async fn next(&mut self) -> i32 {
        tokio::select! {
            _ = self.terminate.recv() => SignalKind::terminate().as_raw_value(),
            _ = self.interrupt.recv() => SignalKind::interrupt().as_raw_value(),
        }
    }
}

/// Answers requests until a signal comes, then those that have begun. A second signal ends the process at once.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    mut signals: Signals,
    patience: Duration,
) {
    let open = Arc::new(Semaphore::new(CONNECTIONS));
    let graceful = GracefulShutdown::new();
    let mut http = http1::Builder::new();
    // A head that does not come, or comes a byte at a time, does not keep its connection.
    http.timer(TokioTimer::new()).header_read_timeout(patience);
    loop {
        let accepted = tokio::select! {
            _ = signals.next() => break,
            accepted = accept(&listener, &open) => accepted,
        };
        let Some((stream, place)) = accepted else {
            // Out of files, for one: those that are open are in use, and some will be closed.
            sleep(Duration::from_millis(20)).await;
            continue;
        };
        let service = TowerToHyperService::new(router.clone());
        let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            // What goes wrong between the two ends of a connection is told to nobody.
            let _ = connection.await;
            drop(place);
        });
    }
    drop(listener);
    tokio::spawn(async move {
        let signal = signals.next().await;
        std::process::exit(128 + signal);
    });
    let _ = timeout(patience + Duration::from_secs(1), graceful.shutdown()).await;
}

async fn accept(
    listener: &TcpListener,
    open: &Arc<Semaphore>,
) -> Option<(tokio::net::TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = open.clone().acquire_owned().await.ok()?;
    let (stream, _) = listener.accept().await.ok()?;
    // Answers are short: they need not wait for more.
    let _ = stream.set_nodelay(true);
    Some((stream, place))
}
