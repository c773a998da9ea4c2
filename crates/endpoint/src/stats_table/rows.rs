//! Which members are shown, and how.

use serde_json::Value;

/// One direction of one kind; of several encodings one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stream<'a> {
    pub(super) sent: bool,
    pub(super) video: bool,
    pub(super) rid: Option<&'a str>,
}

/// The columns: sound and pictures, out and in. Pictures that go out in several encodings have one for
/// each, in their order.
pub(super) fn streams(report: &Value) -> Vec<Stream<'_>> {
    let stream = |sent, video| Stream {
        sent,
        video,
        rid: None,
    };
    let pictures = stream(true, true);
    let mut rids: Vec<&str> = Vec::new();
    for rid in pictures.all(report).filter_map(|one| one["rid"].as_str()) {
        if !rids.contains(&rid) {
            rids.push(rid);
        }
    }
    let encodings = rids.iter().map(|rid| Stream {
        rid: Some(rid),
        ..pictures
    });
    let mut streams: Vec<Stream<'_>> = encodings.collect();
    if streams.is_empty() {
        streams.push(pictures);
    }
    streams.extend([
        stream(true, false),
        stream(false, true),
        stream(false, false),
    ]);
    streams
}

/// A stream in a report, and in the one before.
pub(super) struct View<'a> {
    stream: Stream<'a>,
    own: Option<&'a Value>,
    /// What the other side says of it.
    remote: Option<&'a Value>,
    codec: Option<&'a Value>,
    before: Option<&'a Value>,
}

impl<'a> Stream<'a> {
    pub(super) fn of(self, report: &'a Value, before: Option<&'a Value>) -> View<'a> {
        let own = self.find(report);
        let named = |member: &str| entry(report, own?[member].as_str()?);
        View {
            stream: self,
            own,
            remote: named("remoteId"),
            codec: named("codecId"),
            before: before.and_then(|before| self.find(before)),
        }
    }

    /// The stream that has carried most: after a renegotiation an idle one may stay.
    fn find<'r>(self, report: &'r Value) -> Option<&'r Value>
    where
        'a: 'r,
    {
        let bytes = match self.sent {
            true => "bytesSent",
            false => "bytesReceived",
        };
        let all = self.all(report);
        all.max_by_key(|one| one[bytes].as_u64())
    }

    fn all<'r>(self, report: &'r Value) -> impl Iterator<Item = &'r Value>
    where
        'a: 'r,
    {
        let kind = if self.sent {
            "outbound-rtp"
        } else {
            "inbound-rtp"
        };
        let media = if self.video { "video" } else { "audio" };
        entries(report).filter(move |one| {
            let encoding = self.rid.is_none_or(|rid| one["rid"] == rid);
            one["type"] == kind && one["kind"] == media && encoding
        })
    }
}

fn entries(report: &Value) -> impl Iterator<Item = &Value> {
    report.as_array().into_iter().flatten()
}

fn entry<'a>(report: &'a Value, id: &str) -> Option<&'a Value> {
    entries(report).find(|one| one["id"] == id)
}

type Cell = Option<String>;
type Row = (&'static str, fn(&View<'_>) -> Cell);

const ROWS: [Row; 17] = [
    ("codec", |view| {
        let mime = view.codec?["mimeType"].as_str()?;
        Some(mime.split('/').nth(1)?.to_owned())
    }),
    ("bitrate", |view| Some(bits(view.rate(view.bytes())? * 8.0))),
    ("targetBitrate", |view| {
        Some(bits(view.own("targetBitrate")?))
    }),
    ("frame", |view| {
        let (width, height) = (view.own("frameWidth")?, view.own("frameHeight")?);
        Some(format!("{width}×{height}"))
    }),
    ("framesPerSecond", |view| {
        Some(format!("{:.0}", view.own("framesPerSecond")?))
    }),
    ("packetsLost", |view| {
        let lost = view.reported("packetsLost")?;
        match view.reported("packetsReceived") {
            Some(got) if got + lost > 0.0 => Some(format!(
                "{lost} ({:.1} %)",
                lost.max(0.0) / (got + lost) * 100.0
            )),
            _ => Some(lost.to_string()),
        }
    }),
    ("jitter", |view| Some(millis(view.reported("jitter")?))),
    ("roundTripTime", |view| {
        Some(millis(view.remote?["roundTripTime"].as_f64()?))
    }),
    ("nackCount", |view| count(view.own("nackCount"))),
    ("pliCount", |view| count(view.own("pliCount"))),
    ("firCount", |view| count(view.own("firCount"))),
    ("retransmittedPackets", |view| match view.stream.sent {
        true => count(view.own("retransmittedPacketsSent")),
        false => count(view.own("retransmittedPacketsReceived")),
    }),
    ("freezeCount", |view| {
        let (times, lasted) = (view.own("freezeCount")?, view.own("totalFreezesDuration")?);
        Some(format!("{times} ({lasted:.1} s)"))
    }),
    ("concealedSamples", |view| {
        let (made_up, all) = (
            view.own("concealedSamples")?,
            view.own("totalSamplesReceived")?,
        );
        Some(format!(
            "{made_up} ({:.1} %)",
            made_up / all.max(1.0) * 100.0
        ))
    }),
    ("jitterBufferDelay", |view| {
        view.each_emitted("jitterBufferDelay")
    }),
    ("jitterBufferTargetDelay", |view| {
        view.each_emitted("jitterBufferTargetDelay")
    }),
    ("qualityLimitationReason", |view| {
        let reason = view.own?["qualityLimitationReason"].as_str()?;
        let lasted = view.own?["qualityLimitationDurations"][reason].as_f64();
        Some(match lasted {
            Some(lasted) => format!("{reason} ({lasted:.0} s)"),
            None => reason.to_owned(),
        })
    }),
];

/// All rows that any of `streams` has.
pub(super) fn stream_rows(streams: &[View<'_>]) -> impl Iterator<Item = (&'static str, Vec<Cell>)> {
    ROWS.into_iter()
        .map(|(member, cell)| (member, streams.iter().map(cell).collect()))
}

/// What is of the connection as a whole.
pub(super) fn connection_rows(report: &Value) -> [(&'static str, Cell); 3] {
    let pair = selected_pair(report);
    let member = |name: &str| pair?[name].as_f64();
    let end = |name: &str| entry(report, pair?[name].as_str()?);
    let kind = |end: Option<&Value>| Some(end?["candidateType"].as_str()?.to_owned());
    let (local, remote) = (end("localCandidateId"), end("remoteCandidateId"));
    let protocol = local.and_then(|local| local["protocol"].as_str());
    let ways = kind(local).zip(kind(remote)).map(|(here, there)| {
        let protocol = protocol.unwrap_or_default();
        format!("{here} – {there} {protocol}").trim_end().to_owned()
    });
    [
        (
            "currentRoundTripTime",
            member("currentRoundTripTime").map(millis),
        ),
        (
            "availableOutgoingBitrate",
            member("availableOutgoingBitrate").map(bits),
        ),
        ("candidatePair", ways),
    ]
}

fn selected_pair(report: &Value) -> Option<&Value> {
    let transport = entries(report).find(|one| one["type"] == "transport")?;
    entry(report, transport["selectedCandidatePairId"].as_str()?)
}

impl View<'_> {
    fn own(&self, member: &str) -> Option<f64> {
        self.own?[member].as_f64()
    }

    /// Who receives counts what is lost.
    fn reported(&self, member: &str) -> Option<f64> {
        match self.stream.sent {
            true => self.remote?[member].as_f64(),
            false => self.own(member),
        }
    }

    fn bytes(&self) -> &'static str {
        match self.stream.sent {
            true => "bytesSent",
            false => "bytesReceived",
        }
    }

    /// How much it grew since the report before. What ran backwards is of another stream.
    fn since(&self, member: &str) -> Option<f64> {
        let before = self.before?[member].as_f64()?;
        Some(self.own(member)? - before).filter(|grown| *grown >= 0.0)
    }

    /// By how much a member grows each second.
    fn rate(&self, member: &str) -> Option<f64> {
        let seconds = self.since("timestamp")? / 1e3;
        Some(self.since(member)? / seconds).filter(|_| seconds > 0.0)
    }

    /// Seconds for each frame or sample that left the jitter buffer since the report before.
    fn each_emitted(&self, member: &str) -> Cell {
        let emitted = self.since("jitterBufferEmittedCount")?;
        let delay = self.since(member)?;
        (emitted > 0.0).then(|| millis(delay / emitted))
    }
}

fn count(value: Option<f64>) -> Cell {
    value.map(|value| value.to_string())
}

fn millis(seconds: f64) -> String {
    format!("{:.0} ms", seconds * 1e3)
}

fn bits(per_second: f64) -> String {
    match per_second {
        small if small < 1e6 => format!("{:.0} kbit/s", small / 1e3),
        large => format!("{:.1} Mbit/s", large / 1e6),
    }
}
