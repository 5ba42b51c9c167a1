//! From a request to a caption.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use engine::photographs::{Alternative, VisibleRegion, reading, reduced, visible_region};
use engine_datasets::picture::Picture;
use serde::Serialize;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::body;
use crate::pages;
use crate::problem::Problem;
use crate::request::{self, CaptionRequest, Choice, PictureSource};
use crate::state::AppState;
use crate::worker::{Job, Message, Written};

/// An answer.
#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    caption: String,
    alternatives: Vec<Alternative>,
    attention: Option<Looked>,
    picture: Size,
    seconds: Seconds,
}

/// Where the network looked.
#[derive(Debug, Serialize)]
struct Looked {
    rows: usize,
    columns: usize,
    /// For each word of the caption the weights of all regions, row after row.
    weights: Vec<Vec<f32>>,
    /// The part of the picture that the regions divide.
    over: VisibleRegion,
}

/// The picture as it was decoded, upright.
#[derive(Debug, Serialize)]
struct Size {
    width: usize,
    height: usize,
}

/// Where time went.
#[derive(Debug, Serialize)]
struct Seconds {
    /// Until the whole picture was there and decoded.
    reading: f64,
    /// Until the network was free.
    waiting: f64,
    /// What the network took.
    captioning: f64,
    /// All of it.
    total: f64,
}

/// Answers `POST /api/caption`.
pub(crate) async fn caption(State(state): State<Arc<AppState>>, request: Request) -> Response {
    let begun = Instant::now();
    let _open = state.metrics.opens();
    let Ok(_place) = state.places.try_acquire() else {
        body::drain(request.into_body()).await;
        return Problem::full(state.settings.queue).into_response();
    };
    match timeout(state.settings.timeout, answer(&state, request, begun)).await {
        Ok(Ok(answer)) => pages::json(&answer),
        Ok(Err(problem)) => problem.into_response(),
        Err(_) => Problem::late(state.settings.timeout.as_secs()).into_response(),
    }
}

async fn answer(
    state: &Arc<AppState>,
    request: Request,
    begun: Instant,
) -> Result<Answer, Problem> {
    let CaptionRequest { picture, choice } = request::read(request).await?;
    state.check(choice)?;
    let (picture, size, over) = read(state, picture).await?;
    let reading = begun.elapsed().as_secs_f64();
    let Written { captioned, waited, wrote } = {
        let _waiting = state.metrics.waits();
        write(state, picture, choice).await?
    };
    let attention = captioned.attention.map(|attention| Looked {
        rows: attention.rows,
        columns: attention.columns,
        weights: attention.weights,
        over,
    });
    let seconds = Seconds {
        reading,
        waiting: waited.as_secs_f64(),
        captioning: wrote.as_secs_f64(),
        total: begun.elapsed().as_secs_f64(),
    };
    Ok(Answer {
        caption: captioned.sentence,
        alternatives: captioned.alternatives,
        attention,
        picture: size,
        seconds,
    })
}

/// A picture as the encoder reads it, its size before, and what part of it that is.
async fn read(
    state: &Arc<AppState>,
    from: PictureSource,
) -> Result<(Picture, Size, VisibleRegion), Problem> {
    let bytes = match from {
        PictureSource::Body(bytes) => bytes,
        PictureSource::Address(url) => fetch(state, url).await?.into(),
    };
    // As many at once as there are processors: decoded pictures take memory, those that wait for a place little.
    let place = state.decoding.clone().acquire_owned().await.map_err(|_| closing())?;
    let preprocess = state.preprocess.clone();
    let decoded = spawn_blocking(move || {
        let _place = place;
        let picture = reading::decode(&bytes)?;
        let size = Size { width: picture.width(), height: picture.height() };
        let over = visible_region(&preprocess, &picture);
        Ok((reduced(&preprocess, picture)?, size, over))
    });
    let decoded = decoded.await.map_err(|error| Problem::fault(error.to_string()))?;
    decoded.map_err(|unread: reading::Unread| unread.into())
}

/// The bytes at an address.
async fn fetch(state: &Arc<AppState>, url: String) -> Result<Vec<u8>, Problem> {
    let place = state.fetching.clone().acquire_owned().await.map_err(|_| closing())?;
    let allow_private = state.settings.allow_private;
    let fetched = spawn_blocking(move || {
        let _place = place;
        reading::fetch(&url, allow_private)
    });
    let fetched = fetched.await.map_err(|error| Problem::fault(error.to_string()))?;
    fetched.map_err(Into::into)
}

/// Hands a picture to the network and waits for its caption.
async fn write(state: &AppState, picture: Picture, choice: Choice) -> Result<Written, Problem> {
    let (reply, written) = oneshot::channel();
    let job = Job { picture, choice, since: Instant::now(), reply };
    state.jobs.send(Message::Job(job)).map_err(|_| closing())?;
    written.await.map_err(|_| closing())?.map_err(Problem::fault)
}

fn closing() -> Problem {
    Problem::full(0)
}
