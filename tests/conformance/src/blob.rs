//! Blobs, and the URLs of some: <https://w3c.github.io/FileAPI/>.
//!
//! Bytes pass the door as a string of as many characters, as Web IDL's `ByteString` does. A blob is kept
//! for as long as its page, which is seconds.

use crate::door::{Thrown, parse};
use duet_recorder::Blob;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::HashMap;
use uuid::Uuid;

/// A page's blobs by their ids, and those that have a URL.
#[derive(Debug, Default)]
pub(crate) struct Blobs {
    origin: String,
    blobs: HashMap<u64, Blob>,
    urls: HashMap<String, Blob>,
    next: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum Part {
    Text(String),
    Bytes(String),
    Blob(u64),
}

#[derive(Deserialize)]
struct New {
    parts: Vec<Part>,
    #[serde(rename = "type")]
    mime_type: String,
}

#[derive(Deserialize)]
struct Slice {
    id: u64,
    start: Option<f64>,
    end: Option<f64>,
    #[serde(rename = "type")]
    mime_type: String,
}

impl Blobs {
    /// Those of a page of that origin: none yet.
    pub(crate) fn of(origin: &str) -> Self {
        Blobs {
            origin: origin.into(),
            ..Blobs::default()
        }
    }

    /// The id of a blob that the page is to have.
    pub(crate) fn meet(&mut self, blob: Blob) -> u64 {
        self.next += 1;
        self.blobs.insert(self.next, blob);
        self.next
    }

    /// Does what the glue asks for.
    pub(crate) fn operate(&mut self, operation: &str, argument: Value) -> Result<Value, Thrown> {
        Ok(match operation {
            "new" => {
                let New { parts, mime_type } = parse(argument)?;
                let mut data = Vec::new();
                for part in parts {
                    match part {
                        Part::Text(text) => data.extend_from_slice(text.as_bytes()),
                        Part::Bytes(bytes) => data.extend(bytes_of(&bytes)?),
                        Part::Blob(id) => data.extend_from_slice(&self.blob(id)?.data),
                    }
                }
                let (data, mime_type) = (data.into(), normal(&mime_type));
                json!(self.meet(Blob { data, mime_type }))
            }
            "slice" => {
                let wanted: Slice = parse(argument)?;
                let blob = self.blob(wanted.id)?;
                let size = blob.data.len();
                let (start, end) = (
                    place(wanted.start.unwrap_or(0.0), size),
                    place(wanted.end.unwrap_or(size as f64), size),
                );
                let data = blob.data.slice(start..end.max(start));
                let mime_type = normal(&wanted.mime_type);
                json!(self.meet(Blob { data, mime_type }))
            }
            "size" => json!(self.blob(parse(argument)?)?.data.len()),
            "type" => json!(self.blob(parse(argument)?)?.mime_type),
            "bytes" => {
                let blob = self.blob(parse(argument)?)?;
                json!(
                    blob.data
                        .iter()
                        .map(|&byte| char::from(byte))
                        .collect::<String>()
                )
            }
            "text" => {
                let text = String::from_utf8_lossy(&self.blob(parse(argument)?)?.data).into_owned();
                // "UTF-8 decode" leaves out a byte order mark.
                json!(text.strip_prefix('\u{feff}').unwrap_or(&text))
            }
            "url" => {
                let blob = self.blob(parse(argument)?)?.clone();
                let url = format!("blob:{}/{}", self.origin, Uuid::new_v4());
                self.urls.insert(url.clone(), blob);
                json!(url)
            }
            "revoke" => {
                self.urls.remove(&parse::<String>(argument)?);
                Value::Null
            }
            "open" => {
                let found = self.urls.get(&parse::<String>(argument)?).cloned();
                json!(found.map(|blob| self.meet(blob)))
            }
            _ => return Err(Thrown::unknown(&format!("blob.{operation}"))),
        })
    }

    fn blob(&self, id: u64) -> Result<&Blob, Thrown> {
        let found = self.blobs.get(&id);
        found.ok_or_else(|| Thrown::type_error(format!("no blob {id}")))
    }
}

fn bytes_of(text: &str) -> Result<Vec<u8>, Thrown> {
    let bytes = text.chars().map(|c| u8::try_from(u32::from(c)));
    bytes.collect::<Result<_, _>>().map_err(Thrown::type_error)
}

/// Where in so many bytes a position of [slice](https://w3c.github.io/FileAPI/#slice-blob) is; negative
/// ones count from the end.
fn place(position: f64, size: usize) -> usize {
    let from_the_end = if position < 0.0 { size as f64 } else { 0.0 };
    // Saturating: what is out of reach is at an end.
    ((position + from_the_end) as usize).min(size)
}

/// A type as a blob has it: lower case, and empty if it is none.
fn normal(mime_type: &str) -> String {
    match mime_type.bytes().all(|byte| (0x20..=0x7e).contains(&byte)) {
        true => mime_type.to_ascii_lowercase(),
        false => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(blobs: &mut Blobs, operation: &str, argument: Value) -> Value {
        blobs.operate(operation, argument).unwrap()
    }

    #[test]
    fn a_blob_is_its_parts_one_after_the_other() {
        let mut blobs = Blobs::default();
        let first =
            json!({ "parts": [{ "text": "ä" }, { "bytes": "\u{ff}\0" }], "type": "Text/X" });
        let first = ask(&mut blobs, "new", first);
        let both = json!({ "parts": [{ "blob": first }, { "text": "b" }], "type": "ü" });
        let both = ask(&mut blobs, "new", both);
        assert_eq!(
            ask(&mut blobs, "bytes", both.clone()),
            "\u{c3}\u{a4}\u{ff}\0b"
        );
        assert_eq!(ask(&mut blobs, "text", both.clone()), "ä\u{fffd}\0b");
        assert_eq!(ask(&mut blobs, "size", both.clone()), 5);
        assert_eq!(ask(&mut blobs, "type", both), "");
        assert_eq!(ask(&mut blobs, "type", first), "text/x");
        let wrong = json!({ "parts": [{ "bytes": "€" }], "type": "" });
        assert!(blobs.operate("new", wrong).is_err());
        assert!(blobs.operate("size", json!(99)).is_err());
    }

    #[test]
    fn a_slice_counts_from_either_end() {
        let mut blobs = Blobs::default();
        let whole = json!({ "parts": [{ "text": "abcdef" }], "type": "a" });
        let id = ask(&mut blobs, "new", whole);
        for (start, end, text) in [
            (json!(null), json!(null), "abcdef"),
            (json!(2), json!(4), "cd"),
            (json!(-2), json!(null), "ef"),
            (json!(-99), json!(-4), "ab"),
            (json!(4), json!(2), ""),
            (json!(1e300), json!(null), ""),
        ] {
            let wanted = json!({ "id": id, "start": start, "end": end, "type": "" });
            let slice = ask(&mut blobs, "slice", wanted);
            assert_eq!(ask(&mut blobs, "text", slice), text, "{start} {end}");
        }
    }

    #[test]
    fn a_url_opens_until_it_is_revoked() {
        let mut blobs = Blobs::of("https://here");
        let id = ask(
            &mut blobs,
            "new",
            json!({ "parts": [{ "text": "a" }], "type": "" }),
        );
        let url = ask(&mut blobs, "url", id);
        assert!(url.as_str().unwrap().starts_with("blob:https://here/"));
        let opened = ask(&mut blobs, "open", url.clone());
        assert_eq!(ask(&mut blobs, "text", opened), "a");
        ask(&mut blobs, "revoke", url.clone());
        assert_eq!(ask(&mut blobs, "open", url), Value::Null);
    }
}
