//! The web client, carried inside the program (`build.rs` makes the table), and the headers with
//! which a browser is to treat it.
//!
//! What this module deliberately is not: a file server. Nothing is read from disk.

use axum::body::Body;
use axum::http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};

struct Asset {
    path: &'static str,
    etag: &'static str,
    bytes: &'static [u8],
}

static ASSETS: &[Asset] = include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// Everything comes from this server and nothing is inline; frames, forms and plug-ins are not used.
/// `'self'` covers the WebSocket as well.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; \
     media-src 'self' blob: mediastream:; font-src 'self'; connect-src 'self'; manifest-src 'self'; \
     worker-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const PERMISSIONS: &str = "camera=(self), microphone=(self), speaker-selection=(self), display-capture=(self), \
     autoplay=(self), fullscreen=(self), picture-in-picture=(self), geolocation=(), payment=(), usb=()";

/// Answers a request for a page, or a part of one.
pub(crate) fn respond(method: &Method, uri: &Uri, headers: &HeaderMap) -> Response {
    if method != Method::GET && method != Method::HEAD {
        return (
            StatusCode::METHOD_NOT_ALLOWED,
            [(ALLOW, "GET, HEAD")],
            "only GET and HEAD are served here\n",
        )
            .into_response();
    }
    let path = if uri.path() == "/" {
        "/index.html"
    } else {
        uri.path()
    };
    let Ok(index) = ASSETS.binary_search_by_key(&path, |asset| asset.path) else {
        return (
            StatusCode::NOT_FOUND,
            "there is nothing at this path; the page is at /\n",
        )
            .into_response();
    };
    let asset = &ASSETS[index];
    let known = headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .any(|etag| etag.as_bytes() == asset.etag.as_bytes());
    let caching = [(ETAG, asset.etag), (CACHE_CONTROL, cache_control(path))];
    if known {
        return (StatusCode::NOT_MODIFIED, caching).into_response();
    }
    // For HEAD, hyper sends the headers of this answer and keeps the body.
    (
        caching,
        [(CONTENT_TYPE, content_type(path))],
        Body::from(asset.bytes),
    )
        .into_response()
}

/// Adds to every response what keeps a page in its place.
pub(crate) fn secure(response: &mut Response) {
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (HeaderName::from_static("permissions-policy"), PERMISSIONS),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// Vite puts a hash of the content into the names of all files below `/assets/`.
fn cache_control(path: &str) -> &'static str {
    if path.starts_with("/assets/") {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    }
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "wasm" => "application/wasm",
        "mp3" => "audio/mpeg",
        "wav" => "audio/wav",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
