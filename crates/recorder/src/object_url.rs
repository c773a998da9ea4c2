//! A live stream under a URL: what the first drafts of `getUserMedia` did with `createObjectURL`, for
//! everybody who can read WebM over HTTP.
//!
//! A stream is encoded while somebody reads it, once for all readers; each gets a WebM of its own that
//! begins with a key frame at time zero.

mod broadcast;
mod reader;

use crate::options::MediaRecorderOptions;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use broadcast::{Live, Refusal};
use duet_media::MediaStream;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use uuid::Uuid;

/// The URLs of a server, and the streams behind them. Cheap to clone; all clones are the same.
///
/// ```no_run
/// # async fn run(stream: duet_media::MediaStream) -> std::io::Result<()> {
/// use duet_recorder::ObjectUrls;
///
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
/// let urls = ObjectUrls::new(&format!("http://{}", listener.local_addr()?));
/// println!("ffplay {}", urls.create_object_url(&stream));
/// axum::serve(listener, urls.router()).await
/// # }
/// ```
#[derive(Clone)]
pub struct ObjectUrls(Arc<Registry>);

struct Registry {
    base: String,
    streams: Mutex<HashMap<Uuid, Arc<Live>>>,
}

/// What may wait for a reader, in bytes: 13 s at 2.5 Mb/s.
const CAPACITY: usize = 4 << 20;
/// Where streams are, below the server's root.
const PLACE: &str = "/live/";

impl ObjectUrls {
    /// The URLs of a server whose root is `base`, such as `http://localhost:8080`.
    pub fn new(base: &str) -> Self {
        ObjectUrls(Arc::new(Registry {
            base: base.trim_end_matches('/').to_owned(),
            streams: Mutex::default(),
        }))
    }

    /// A URL under which the stream opens in a `<video>` element, ffplay or VLC, until
    /// [`ObjectUrls::revoke_object_url`] or the end of its tracks. Nobody can guess it. It keeps the
    /// stream, as a variable does.
    ///
    /// A reader that is more than 4 MiB behind is dropped: its WebM ends. It also ends when the stream
    /// gains or loses a track; whoever opens the URL again gets the tracks of now.
    pub fn create_object_url(&self, stream: &MediaStream) -> String {
        self.create_object_url_with(stream, &MediaRecorderOptions::default())
    }

    /// Like [`ObjectUrls::create_object_url`], with the bitrates of `options`; nothing else in them matters.
    pub fn create_object_url_with(
        &self,
        stream: &MediaStream,
        options: &MediaRecorderOptions,
    ) -> String {
        let id = Uuid::new_v4();
        let mut streams = self.0.streams.lock();
        // What can be opened no more need not be kept.
        streams.retain(|_, live| live.stream().active());
        let live = Live::new(stream.clone(), options.clone(), CAPACITY);
        streams.insert(id, Arc::new(live));
        format!("{}{PLACE}{}", self.0.base, id.simple())
    }

    /// Takes a URL back: it opens no more, and whoever reads it now comes to its end. Nothing happens
    /// if it is none of these.
    pub fn revoke_object_url(&self, url: &str) {
        let path = url.strip_prefix(&self.0.base);
        let id = path.and_then(|path| path.strip_prefix(PLACE));
        let id = id.and_then(|id| Uuid::try_parse(id).ok());
        if let Some(live) = id.and_then(|id| self.0.streams.lock().remove(&id)) {
            live.close();
        }
    }

    /// The routes, for a server to take in ([`Router::merge`]), such as that of `duet_signaling::app` or, by
    /// `with_routes`, a `duet_signaling::Server`: `GET /live/{id}`.
    pub fn router(&self) -> Router {
        Router::new()
            .route(&format!("{PLACE}{{id}}"), get(serve))
            .with_state(self.clone())
    }

    fn find(&self, id: &str) -> Option<Arc<Live>> {
        let id = Uuid::try_parse(id).ok()?;
        self.0.streams.lock().get(&id).cloned()
    }
}

impl fmt::Debug for ObjectUrls {
    /// Without the URLs: they are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectUrls")
            .field("base", &self.0.base)
            .field("streams", &self.0.streams.lock().len())
            .finish()
    }
}

async fn serve(State(urls): State<ObjectUrls>, Path(id): Path<String>) -> Response {
    let Some(live) = urls.find(&id) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    match live.open() {
        Ok((mime_type, reader)) => {
            let headers = [
                (CONTENT_TYPE, mime_type),
                (CACHE_CONTROL, "no-store".to_owned()),
                (X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
                // Whoever knows the URL may show it, in a page of whatever origin.
                (
                    HeaderName::from_static("cross-origin-resource-policy"),
                    "cross-origin".to_owned(),
                ),
            ];
            (headers, Body::from_stream(reader)).into_response()
        }
        Err(Refusal::Ended) => StatusCode::NOT_FOUND.into_response(),
        Err(Refusal::Busy) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}
