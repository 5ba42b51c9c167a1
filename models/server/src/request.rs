//! What a request asks for: a picture, and how words are chosen.

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Multipart, Query, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, Uri, header};
use engine::decode::Beam;
use engine_core::field::Count;
use serde::Deserialize;

use crate::body;
use crate::limits::WIDEST;
use crate::problem::Problem;

/// How words are chosen, as a request says: fields of a form, of JSON or of the address.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Choice {
    /// Places of the beam. Without it, words are chosen as the run says.
    pub(crate) beam: Option<u64>,
    /// Sentences that are given, at most as many as the beam has places; all of them, if not given.
    pub(crate) best: Option<u64>,
}

/// Where the picture comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PictureSource {
    Body(Bytes),
    Address(String),
}

/// A request that was understood.
#[derive(Debug)]
pub(crate) struct CaptionRequest {
    pub(crate) picture: PictureSource,
    pub(crate) choice: Choice,
}

/// A body in JSON.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ByAddress {
    url: String,
    beam: Option<u64>,
    best: Option<u64>,
}

/// Kinds of bodies.
enum Form {
    Multipart,
    Json,
    Raw,
}

const FORMS: &str = "multipart/form-data with a file, application/json with {\"url\": ..}, or the picture itself as \
                     image/jpeg, image/png or image/webp";

/// Reads a request.
///
/// # Errors
/// What is wrong with it.
pub(crate) async fn read(request: Request) -> Result<CaptionRequest, Problem> {
    let (parts, body) = request.into_parts();
    let (form, of_address) = match form(&parts).and_then(|form| Ok((form, of_query(&parts.uri)?))) {
        Ok(known) => known,
        Err(problem) => {
            body::drain(body).await;
            return Err(problem);
        }
    };
    let bytes = body::read(body, &parts.headers).await?;
    let (picture, choice) = match form {
        Form::Raw => (PictureSource::Body(bytes), Choice::default()),
        Form::Json => of_json(&bytes)?,
        Form::Multipart => of_multipart(parts, bytes).await?,
    };
    let choice =
        Choice { beam: choice.beam.or(of_address.beam), best: choice.best.or(of_address.best) };
    match picture {
        PictureSource::Body(bytes) if bytes.is_empty() => {
            Err(Problem::new(StatusCode::BAD_REQUEST, "no-picture", "the request has no picture")
                .expected("the bytes of a picture")
                .found("none")
                .help("see /api for examples"))
        }
        picture => Ok(CaptionRequest { picture, choice: choice.checked()? }),
    }
}

fn form(parts: &Parts) -> Result<Form, Problem> {
    let found = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = found.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let kind = kind.to_ascii_lowercase();
    match kind.as_str() {
        "multipart/form-data" => Ok(Form::Multipart),
        "application/json" => Ok(Form::Json),
        "application/octet-stream" => Ok(Form::Raw),
        kind if kind.starts_with("image/") => Ok(Form::Raw),
        _ => Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "content-type",
            "the body is of a kind that is not read",
        )
        .expected(FORMS)
        .found(found.unwrap_or("no Content-Type"))
        .help("say what the body is in the header Content-Type; see /api for examples")),
    }
}

fn of_query(uri: &Uri) -> Result<Choice, Problem> {
    let choice = Query::try_from_uri(uri).map(|Query(choice)| choice);
    choice.map_err(|error| {
        Problem::new(StatusCode::BAD_REQUEST, "query", "the address has a query that is not read")
            .expected("beam=N and best=N, or neither")
            .found(error.to_string())
            .help("see /api")
    })
}

fn of_json(bytes: &[u8]) -> Result<(PictureSource, Choice), Problem> {
    let read: ByAddress = serde_json::from_slice(bytes).map_err(|error| {
        Problem::new(StatusCode::BAD_REQUEST, "json", "the body is not the JSON that is read")
            .expected("{\"url\": \"https://..\"}, perhaps with \"beam\" and \"best\"")
            .found(error.to_string())
            .help("a picture's own bytes go as multipart/form-data or image/*")
    })?;
    Ok((PictureSource::Address(read.url), Choice { beam: read.beam, best: read.best }))
}

async fn of_multipart(parts: Parts, bytes: Bytes) -> Result<(PictureSource, Choice), Problem> {
    let broken = |found: String| {
        Problem::new(StatusCode::BAD_REQUEST, "form", "the form cannot be read")
            .expected("parts as multipart/form-data has them, one of them a file")
            .found(found)
            .help("see /api for examples")
    };
    let request = Request::from_parts(parts, Body::from(bytes));
    let form = Multipart::from_request(request, &()).await;
    let mut form = form.map_err(|rejection| broken(rejection.body_text()))?;
    let (mut picture, mut choice) = (None, Choice::default());
    loop {
        let field = match form.next_field().await {
            Ok(Some(field)) => field,
            Ok(None) => break,
            Err(error) => return Err(broken(error.body_text())),
        };
        let name = field.name().unwrap_or_default().to_owned();
        let is_file = field.file_name().is_some();
        let bytes = field.bytes().await.map_err(|error| broken(error.body_text()))?;
        match name.as_str() {
            "beam" if !is_file => choice.beam = Some(number("beam", &bytes)?),
            "best" if !is_file => choice.best = Some(number("best", &bytes)?),
            _ if is_file && picture.is_some() => return Err(broken("two files".into())),
            _ if is_file => picture = Some(PictureSource::Body(bytes)),
            _ => {
                return Err(broken(format!(
                    "a field `{name}` that is no file, nor `beam` or `best`"
                )));
            }
        }
    }
    let picture = picture.ok_or_else(|| broken("no file".into()))?;
    Ok((picture, choice))
}

fn number(name: &str, bytes: &[u8]) -> Result<u64, Problem> {
    let text = String::from_utf8_lossy(bytes);
    text.trim().parse().map_err(|_| out_of_range(name, WIDEST, &format!("`{text}`")))
}

fn out_of_range(name: &str, most: u64, found: &str) -> Problem {
    let error = format!("`{name}` is out of range");
    Problem::new(StatusCode::BAD_REQUEST, "choice", error)
        .expected(format!("a whole number from 1 to {most}"))
        .found(found)
        .help("leave it out to have words chosen as the run says")
}

impl Choice {
    fn checked(self) -> Result<Self, Problem> {
        let within = |name, value: Option<u64>, most| match value {
            Some(value) if value == 0 || value > most => {
                Err(out_of_range(name, most, &value.to_string()))
            }
            _ => Ok(()),
        };
        within("beam", self.beam, WIDEST)?;
        within("best", self.best, self.beam.unwrap_or(1))?;
        Ok(self)
    }

    /// The beam that is asked for, if one is.
    pub(crate) fn beam(self) -> Option<Beam> {
        let width = self.beam.filter(|width| *width > 0)?;
        let best = self.best.filter(|best| *best > 0).unwrap_or(width);
        let (width, best) = (Count::constant(width), Count::constant(best));
        Some(Beam { width, best, ..Beam::default() })
    }
}
