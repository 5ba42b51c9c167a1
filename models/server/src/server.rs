//! The server's threads, from the first connection to the last.

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, mpsc};
use std::thread::available_parallelism;
use std::time::Duration;

use engine::photographs::Photographs;
use engine_core::graph::Passes;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

use crate::connections::{self, Signals};
use crate::error::ServeError;
use crate::metrics::Metrics;
use crate::router::router;
use crate::state::{AppState, Settings};
use crate::worker::{Message, Worker};
use crate::{limits, pages};

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
) -> Result<(), ServeError> {
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

    let (jobs, queue) = mpsc::channel();
    let metrics = Arc::new(Metrics::new());
    let (decoder, patience) = (photographs.decoder(), settings.timeout);
    let worker = Worker { decoder: &*decoder, most: settings.batch, metrics: &metrics };
    let processors = available_parallelism().map_or(1, usize::from);
    let state = AppState {
        preprocess: photographs.preprocess().clone(),
        vocabulary: photographs.vocabulary().clone(),
        metrics: metrics.clone(),
        jobs: jobs.clone(),
        places: Semaphore::new(settings.queue),
        decoding: Arc::new(Semaphore::new(processors)),
        fetching: Arc::new(Semaphore::new(limits::FETCHES)),
        page: pages::page(photographs.name()),
        settings,
    };
    let router = router(Arc::new(state));
    photographs.describe(passes, |describe| -> Result<(), ServeError> {
        let begin = async { Ok((tokio::net::TcpListener::from_std(listener)?, Signals::new()?)) };
        let (listener, signals) = runtime.block_on(begin).map_err(ServeError::Start)?;
        runtime.spawn(async move {
            connections::serve(listener, router, signals, patience).await;
            let _ = jobs.send(Message::End);
        });
        ready(address);
        worker.work(describe, &queue);
        Ok(())
    })??;
    end(runtime);
    Ok(())
}

/// Ends what is left: a connection that nobody closes, a picture that is still being fetched.
fn end(runtime: Runtime) {
    runtime.shutdown_timeout(Duration::from_millis(200));
}
