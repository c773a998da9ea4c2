//! What a section says of several encodings of one track (simulcast,
//! [RFC 8853](https://www.rfc-editor.org/rfc/rfc8853)).

use super::{attribute, attributes};

/// No more than these of one section are looked at.
const MAX_RIDS: usize = 16;
/// No id is longer ([RFC 8852](https://www.rfc-editor.org/rfc/rfc8852#section-3.3) sets no bound).
const MAX_RID_BYTES: usize = 64;

/// An encoding that a section takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TakenEncoding {
    pub(crate) rid: String,
    /// It is not to be sent for now.
    pub(crate) paused: bool,
}

/// What a section's `a=simulcast` says after `recv`: encodings by semicolons, each with alternatives by
/// commas, of which the first is taken. Ids that no `a=rid` describes are no ids
/// ([RFC 8853, section 5.2](https://www.rfc-editor.org/rfc/rfc8853#section-5.2)), and of two alike the
/// first counts.
pub(super) fn taken(lines: &[&str]) -> Vec<TakenEncoding> {
    let mut words = attribute(lines, "simulcast")
        .unwrap_or("")
        .split_whitespace();
    let received = words.by_ref().skip_while(|word| *word != "recv").nth(1);
    let described = |rid: &str| {
        attributes(lines, "rid").any(|value| {
            let mut words = value.split_whitespace();
            words.next() == Some(rid) && words.next() == Some("recv")
        })
    };
    let mut taken: Vec<TakenEncoding> = Vec::new();
    for encoding in received.unwrap_or("").split(';').take(MAX_RIDS) {
        let first = encoding.split(',').next().unwrap_or("");
        let rid = first.strip_prefix('~').unwrap_or(first);
        let usable = (1..=MAX_RID_BYTES).contains(&rid.len()) && described(rid);
        if usable && !taken.iter().any(|other| other.rid == rid) {
            taken.push(TakenEncoding {
                rid: rid.to_owned(),
                paused: rid.len() < first.len(),
            });
        }
    }
    taken
}

/// The lines that say that encodings with these ids are sent; none for no ids.
pub(super) fn sent(rids: &[String]) -> Vec<String> {
    if rids.is_empty() {
        return Vec::new();
    }
    let each = rids.iter().map(|rid| format!("a=rid:{rid} send"));
    let all = format!("a=simulcast:send {}", rids.join(";"));
    each.chain([all]).collect()
}

/// Whether an attribute says that there are several encodings. The substrate does not know which of them
/// go on, and takes several of the other side's for ours: it hears nothing of them.
pub(super) fn is_of_encodings(attribute: &str) -> bool {
    attribute.starts_with("rid:") || attribute.starts_with("simulcast:")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(simulcast: &str) -> Vec<(String, bool)> {
        let simulcast = format!("a=simulcast:{simulcast}");
        let lines = [
            "a=rid:q recv",
            "a=rid:h recv pt=96;max-width=640",
            "a=rid:f recv",
            "a=rid:s send",
            &simulcast,
        ];
        let taken = taken(&lines).into_iter();
        taken.map(|one| (one.rid, one.paused)).collect()
    }

    #[test]
    fn ids_are_read_with_their_pauses_and_first_alternatives() {
        let of = |rids: &[(&str, bool)]| -> Vec<(String, bool)> {
            let rids = rids.iter();
            rids.map(|(rid, paused)| ((*rid).to_owned(), *paused))
                .collect()
        };
        assert_eq!(
            read("recv q;~h;f"),
            of(&[("q", false), ("h", true), ("f", false)])
        );
        assert_eq!(read("send s recv ~f,q;h"), of(&[("f", true), ("h", false)]));
        assert_eq!(read("recv q;q;~q send s"), of(&[("q", false)]));
        // Nobody described them so.
        assert_eq!(read("recv x;s;;~;q"), of(&[("q", false)]));
        assert_eq!(read("send s"), []);
        assert_eq!(read("recv"), []);
    }

    #[test]
    fn no_more_is_read_than_a_few() {
        let many: Vec<String> = (0..1_000).map(|n| format!("a=rid:r{n} recv")).collect();
        let all: Vec<String> = (0..1_000).map(|n| format!("r{n}")).collect();
        let simulcast = format!("a=simulcast:recv {}", all.join(";"));
        let mut lines: Vec<&str> = many.iter().map(String::as_str).collect();
        lines.push(&simulcast);
        assert_eq!(taken(&lines).len(), MAX_RIDS);
    }
}
