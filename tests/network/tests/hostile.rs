//! A far end that keeps to no rules, in a running call: what it says is well encrypted, and false.
//!
//! The one that calls keeps to the rules. The other one's program does too; beside it somebody else has
//! the keys.

use bytes::{BufMut, Bytes, BytesMut};
use duet_media::{MediaKind, MediaTime};
use duet_network::{Call, CallConfig, LinkConfig, Sends, run};
use duet_peer::pipeline::RtpPacket;
use duet_peer::{Diagnostics, Network};
use std::future::poll_fn;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

const PAYLOAD_FEEDBACK: u8 = 206;
const TRANSPORT_FEEDBACK: u8 = 205;

/// Of what each end sends.
#[derive(Clone, Copy)]
struct Sources {
    video: u32,
    audio: u32,
}

async fn sources(call: &Call, end: usize) -> Sources {
    let stats = call.ends[end].connection.get_stats().await.unwrap();
    let ssrc = |media| {
        let outbound = stats.rtp("outbound-rtp", media).unwrap();
        outbound.number("ssrc").unwrap() as u32
    };
    Sources {
        video: ssrc(MediaKind::Video),
        audio: ssrc(MediaKind::Audio),
    }
}

async fn key_frames(call: &Call) -> f64 {
    let stats = call.ends[0].connection.get_stats().await.unwrap();
    let outbound = stats.rtp("outbound-rtp", MediaKind::Video).unwrap();
    outbound.number("keyFramesEncoded").unwrap()
}

/// A packet of RTCP ([RFC 3550, section 6.4.1](https://www.rfc-editor.org/rfc/rfc3550#section-6.4.1)).
fn rtcp(count: u8, kind: u8, words: &[u32]) -> Bytes {
    let mut packet = BytesMut::new();
    packet.put_u8(0x80 | count);
    packet.put_u8(kind);
    packet.put_u16(words.len() as u16);
    words.iter().for_each(|word| packet.put_u32(*word));
    packet.freeze()
}

/// What is said in the `n`th millisecond of `of`, by `own`.
fn lies(n: u32, of: Sources, own: Sources) -> Vec<Bytes> {
    // A key frame, in both ways, a thousand times a second.
    let mut lies = vec![
        rtcp(1, PAYLOAD_FEEDBACK, &[1, of.video]),
        rtcp(4, PAYLOAD_FEEDBACK, &[1, 0, of.video, n << 24]),
    ];
    if n % 10 == 0 {
        // All is lost, and seen, and answers a report of tomorrow.
        let block = |source| [source, 0xFF7F_FFFF, u32::MAX, u32::MAX, 0x7FFF_0000, 0];
        let blocks = [&[1], &block(of.video)[..], &block(of.audio)[..]].concat();
        lies.push(rtcp(2, 201, &blocks));
        // Our clock is a century ahead, or behind.
        let ntp = if n % 20 == 0 { u64::MAX / 2 } else { 1 << 33 };
        let report = |source| {
            [
                source,
                (ntp >> 32) as u32,
                ntp as u32,
                n * 77_777,
                u32::MAX,
                0,
            ]
        };
        lies.push(rtcp(0, 200, &report(own.video)));
        lies.push(rtcp(0, 200, &report(own.audio)));
    }
    if n % 20 == 0 {
        // Every packet that there can be, again.
        let pairs = (0..250).map(|pair| ((n + pair) * 17) << 16 | 0xFFFF);
        let words: Vec<u32> = [1, of.video].into_iter().chain(pairs).collect();
        lies.push(rtcp(1, TRANSPORT_FEEDBACK, &words));
    }
    if n % 5 == 0 {
        // 65,535 packets were lost: eight runs of 8,191 and one of the rest.
        let head = [1, of.video, n << 16 | 0xFFFF, n << 8];
        let runs = [
            0x1FFF_1FFF,
            0x1FFF_1FFF,
            0x1FFF_1FFF,
            0x1FFF_1FFF,
            0x0007_0000,
            0,
        ];
        let words = [&head[..], &runs].concat();
        lies.push(rtcp(15, TRANSPORT_FEEDBACK, &words));
        // A kind that was not agreed on.
        lies.push(rtcp(
            11,
            TRANSPORT_FEEDBACK,
            &[1, of.video, n << 16 | 1, 0x8000_0000, n],
        ));
    }
    if n % 100 == 0 {
        lies.push(rtcp(2, 203, &[own.video, own.audio]));
    }
    lies
}

/// Lies for `duration`, every millisecond.
async fn lie(call: &Call, duration: Duration, of: Sources, own: Sources) {
    for n in 0..duration.as_millis() as u32 {
        for lie in lies(n, of, own) {
            call.ends[1].connection.forge_rtcp(lie);
        }
        call.pass(MS).await;
    }
}

/// Pictures came at two thirds of their rate at least, without a stop of a second, and sound each second.
fn goes_on(call: &Call, end: usize, from: MediaTime, until: MediaTime) {
    let viewed = &call.ends[end].viewed;
    let seconds = until.saturating_since(from).as_secs() as usize;
    let pictures = viewed.pictures(from, until).len();
    assert!(
        pictures >= seconds * 20,
        "{pictures} pictures in {seconds} s"
    );
    let gap = viewed.longest_gap(from, until);
    assert!(gap < SECOND, "{gap:?}");
    let beeps = viewed.beeps(from, until);
    assert!(beeps + 1 >= seconds, "{beeps} beeps in {seconds} s");
}

async fn start() -> Call {
    let far = LinkConfig {
        delay: 20 * MS,
        ..Default::default()
    };
    let call = Call::start(&CallConfig {
        sends: [Sends::SMALL, Sends::SMALL],
        links: [far.clone(), far],
        max_bitrate: 1_500_000,
        ..Default::default()
    })
    .await;
    call.pass(5 * SECOND).await;
    // Who waits for a first picture asks again after 0.3 s.
    let honest = Diagnostics {
        key_frame_requests_joined: 0,
        ..call.ends[0].connection.diagnostics()
    };
    assert_eq!(honest, Diagnostics::default());
    call
}

/// How much was counted meanwhile.
fn since(call: &Call, before: Diagnostics, of: fn(&Diagnostics) -> u64) -> u64 {
    of(&call.ends[0].connection.diagnostics()) - of(&before)
}

#[test]
fn reports_and_requests_that_lie_change_nothing() {
    run(async {
        let call = start().await;
        let (of, own) = (sources(&call, 0).await, sources(&call, 1).await);
        let before = call.ends[0].connection.diagnostics();
        let made = key_frames(&call).await;
        let (_, from) = call.pass(MS).await;
        lie(&call, 10 * SECOND, of, own).await;
        let (until, _) = call.pass(MS).await;
        // Both see and hear each other, and who is asked for everything sends no more than it may, by half.
        goes_on(&call, 0, from, until);
        goes_on(&call, 1, from, until);
        let made = key_frames(&call).await - made;
        assert!(made <= 21.0, "{made} key frames in ten seconds");
        let rate = call.rate(from, until);
        assert!(rate < 1.5 * 1_564_000.0, "{rate}");
        let asked = since(&call, before, |odd| odd.key_frame_requests_joined);
        assert!(asked > 19_900, "{asked}");
        assert!(since(&call, before, |odd| odd.reports_disbelieved) > 1_900);
        assert!(since(&call, before, |odd| odd.transport_reports_refused) > 3_900);
        assert!(since(&call, before, |odd| odd.requests_refused) > 1_000_000);
        // What it says of itself is what is asked for; what it says of the path is not.
        let stats = call.ends[0].connection.get_stats().await.unwrap();
        let told = stats.rtp("remote-inbound-rtp", MediaKind::Video).unwrap();
        let trip = told.number("roundTripTime").unwrap();
        assert!((trip - 0.04).abs() < 0.01, "{trip}");
        call.end().await;
    });
}

#[test]
fn packets_that_follow_no_rule_are_got_over() {
    run(async {
        let call = start().await;
        let liar = &call.ends[1].connection;
        let kinds: [Box<dyn Fn() -> Box<dyn FnMut(&mut RtpPacket) + Send>>; 4] = [
            // Sequence numbers jump.
            Box::new(|| {
                let mut n = 0_u16;
                Box::new(move |packet| {
                    n = n.wrapping_add(1);
                    packet.sequence_number = packet
                        .sequence_number
                        .wrapping_add((n / 50).wrapping_mul(20_011));
                })
            }),
            // So do sources.
            Box::new(|| {
                let mut n = 0_u32;
                Box::new(move |packet| {
                    n += 1;
                    packet.ssrc = packet.ssrc.wrapping_add(n / 20);
                })
            }),
            // A clock of 48 kHz where 90 was agreed on, or of 25.6 where 48 was.
            Box::new(|| Box::new(|packet| packet.timestamp = packet.timestamp / 15 * 8)),
            // And time stamps that are anything.
            Box::new(|| {
                Box::new(|packet| packet.timestamp = packet.timestamp.wrapping_mul(0x9E37_79B9))
            }),
        ];
        let counts: [fn(&Diagnostics) -> u64; 4] = [
            |odd| odd.sequence_restarts,
            |odd| odd.packets_of_strangers,
            |odd| odd.clock_misfits,
            |odd| odd.timestamp_jumps,
        ];
        for (kind, count) in kinds.iter().zip(counts) {
            let before = call.ends[0].connection.diagnostics();
            liar.tamper_with_rtp(Some(kind()));
            // The caller hears nonsense; what it sends itself goes on.
            let (from, until) = call.pass(10 * SECOND).await;
            goes_on(&call, 1, from, until);
            assert!(since(&call, before, count) > 0);
            // And once that is over it sees and hears again.
            liar.tamper_with_rtp(None);
            call.pass(4 * SECOND).await;
            let (from, until) = call.pass(6 * SECOND).await;
            goes_on(&call, 0, from, until);
        }
        call.end().await;
    });
}

#[test]
fn transport_wide_numbers_that_jump_are_not_followed() {
    run(async {
        let call = start().await;
        let description = call.ends[1].connection.local_description().await.unwrap();
        let mut lines = description.sdp.lines();
        let extension = lines.find_map(|line| {
            let (id, uri) = line.strip_prefix("a=extmap:")?.split_once(' ')?;
            uri.contains("transport-wide-cc").then_some(id)
        });
        let id: u8 = extension.unwrap().parse().unwrap();
        let before = call.ends[0].connection.diagnostics();
        let (_, from) = call.pass(MS).await;
        for n in 0..10_000_u16 {
            let packet = RtpPacket {
                payload_type: 96,
                sequence_number: n,
                timestamp: 0,
                marker: false,
                ssrc: 77,
                payload: Bytes::from_static(b"nothing"),
            };
            let number = n.wrapping_mul(31_013).to_be_bytes();
            let number = Bytes::copy_from_slice(&number);
            call.ends[1].connection.forge_rtp(packet, &[(id, number)]);
            call.pass(MS).await;
        }
        let (until, _) = call.pass(MS).await;
        // Who mixes up its own numbers finds out little of the path. The other way is not concerned.
        goes_on(&call, 1, from, until);
        assert!(since(&call, before, |odd| odd.transport_numbers_refused) > 9_000);
        assert!(since(&call, before, |odd| odd.packets_of_strangers) > 9_900);
        // It then has to find out anew, from the least rate on.
        call.pass(15 * SECOND).await;
        let (from, until) = call.pass(6 * SECOND).await;
        goes_on(&call, 0, from, until);
        call.end().await;
    });
}

#[test]
fn who_has_no_keys_takes_no_memory() {
    run(async {
        let call = start().await;
        let stats = call.ends[0].connection.get_stats().await.unwrap();
        let ports = stats.of_type("local-candidate").filter_map(|candidate| {
            let here = candidate.text("address") == Some(&call.ends[0].ip.to_string());
            candidate.number("port").filter(|_| here)
        });
        let ports: Vec<u16> = ports.map(|port| port as u16).collect();
        assert!(!ports.is_empty());
        let stranger = UdpSocket::bind("127.0.81.77:0").unwrap();
        let stranger = call.wire.attach(stranger).unwrap();
        let before = call.ends[0].connection.diagnostics();
        let (_, from) = call.pass(MS).await;
        for n in 0..10_000_u32 {
            let source = (n * 7_919).to_be_bytes();
            let packet = [&[0x80, 96, 0, 1, 0, 0, 0, 0], &source[..], &[n as u8; 40]].concat();
            for port in &ports {
                let to = SocketAddr::new(call.ends[0].ip, *port);
                poll_fn(|cx| stranger.poll_send(cx, &packet, to))
                    .await
                    .unwrap();
            }
            call.pass(MS).await;
        }
        let (until, _) = call.pass(MS).await;
        goes_on(&call, 0, from, until);
        goes_on(&call, 1, from, until);
        assert!(since(&call, before, |odd| odd.sources_refused) > 7_000);
        assert!(since(&call, before, |odd| odd.datagrams_discarded) > 2_000);
        call.end().await;
    });
}
