use super::*;
use crate::RTCErrorKind;

fn with_rid(rid: &str) -> RTCRtpEncodingParameters {
    RTCRtpEncodingParameters {
        rid: Some(rid.to_owned()),
        ..Default::default()
    }
}

#[test]
fn encodings_are_checked() {
    let of = |wanted: &[RTCRtpEncodingParameters]| {
        RTCRtpEncodingParameters::all_of(wanted, MediaKind::Video)
    };
    assert_eq!(of(&[]).unwrap(), [RTCRtpEncodingParameters::default()]);
    assert_eq!(of(&[with_rid("f")]).unwrap()[0].rid, None);
    let scales = |wanted: &[RTCRtpEncodingParameters]| -> Vec<f64> {
        let all = of(wanted).unwrap();
        all.iter().map(|one| one.scale_resolution_down_by).collect()
    };
    let three = ["q", "h", "f"].map(with_rid);
    assert_eq!(of(&three).unwrap()[1].rid.as_deref(), Some("h"));
    assert_eq!(scales(&three), [4.0, 2.0, 1.0]);
    let mut mixed = three.clone();
    mixed[0].scale_resolution_down_by = 3.0;
    assert_eq!(scales(&mixed), [3.0, 1.0, 1.0]);
    assert_eq!(scales(&["a", "b", "c", "d"].map(with_rid)).len(), 3);
    assert_eq!(scales(&[Default::default(), Default::default()]), [1.0]);
    let long = "x".repeat(17);
    for wanted in [
        &[with_rid("")][..],
        &[with_rid("a b")],
        &[with_rid(&long)],
        &[with_rid("a"), with_rid("a")],
        &[with_rid("a"), RTCRtpEncodingParameters::default()],
    ] {
        assert_eq!(
            of(wanted).unwrap_err().kind,
            RTCErrorKind::Type,
            "{wanted:?}"
        );
    }
    let small = RTCRtpEncodingParameters {
        scale_resolution_down_by: 0.5,
        ..Default::default()
    };
    let backwards = RTCRtpEncodingParameters {
        max_framerate: Some(-1.0),
        ..Default::default()
    };
    for wanted in [small, backwards] {
        assert_eq!(of(&[wanted]).unwrap_err().kind, RTCErrorKind::Range);
    }
    let scaled = RTCRtpEncodingParameters {
        scale_resolution_down_by: 2.0,
        ..Default::default()
    };
    let audio = RTCRtpEncodingParameters::all_of(&[scaled], MediaKind::Audio).unwrap();
    assert_eq!(audio[0].scale_resolution_down_by, 1.0);
}

#[test]
fn scalability_modes_are_those_of_vp8() {
    let mode = |mode: &str| RTCRtpEncodingParameters {
        scalability_mode: Some(mode.to_owned()),
        ..Default::default()
    };
    let video = |name| {
        let all = RTCRtpEncodingParameters::all_of(&[mode(name)], MediaKind::Video);
        all.map(|all| all[0].clone())
    };
    for (name, layers) in [("L1T1", 1), ("L1T2", 2), ("L1T3", 3)] {
        assert_eq!(video(name).unwrap().temporal_layers(), layers);
    }
    for name in ["", "L1T4", "L3T3_KEY", "l1t2"] {
        assert_eq!(video(name).unwrap_err().kind, RTCErrorKind::Operation);
    }
    assert_eq!(RTCRtpEncodingParameters::default().temporal_layers(), 1);
    let audio = RTCRtpEncodingParameters::all_of(&[mode("L1T2")], MediaKind::Audio).unwrap();
    assert_eq!(audio[0].scalability_mode, None);
}

#[test]
fn what_is_read_only_stays_as_it_was() {
    let returned = RTCRtpSendParameters {
        transaction_id: "1".into(),
        encodings: vec![RTCRtpEncodingParameters::default()],
        ..Default::default()
    };
    let kind = |change: &dyn Fn(&mut RTCRtpSendParameters)| {
        let mut next = returned.clone();
        change(&mut next);
        returned.check_change(&next).err().map(|error| error.kind)
    };
    assert_eq!(kind(&|_| {}), None);
    assert_eq!(kind(&|next| next.encodings[0].active = false), None);
    let modification = Some(RTCErrorKind::InvalidModification);
    assert_eq!(kind(&|next| next.transaction_id.push('2')), modification);
    assert_eq!(kind(&|next| next.encodings.clear()), modification);
    assert_eq!(
        kind(&|next| next.encodings[0].rid = Some("a".into())),
        modification
    );
    assert_eq!(kind(&|next| next.rtcp.reduced_size = true), modification);
    let codec = RTCRtpCodecParameters {
        payload_type: 96,
        codec: RTCRtpCapabilities::of(MediaKind::Video).codecs[0].clone(),
    };
    assert_eq!(kind(&|next| next.codecs.push(codec.clone())), modification);
    let range = kind(&|next| next.encodings[0].scale_resolution_down_by = 0.9);
    assert_eq!(range, Some(RTCErrorKind::Range));
}

#[test]
fn only_capabilities_can_be_preferred() {
    let video = RTCRtpCapabilities::of(MediaKind::Video);
    let [vp8, rtx, fec] = <[RTCRtpCodec; 3]>::try_from(video.codecs.clone()).unwrap();
    let twice = [rtx.clone(), vp8.clone(), vp8.clone()];
    assert_eq!(video.pick(&twice).unwrap(), [rtx.clone(), vp8.clone()]);
    assert_eq!(video.pick(&[]).unwrap(), []);
    let audio = RTCRtpCapabilities::of(MediaKind::Audio);
    let slower = RTCRtpCodec {
        clock_rate: 45_000,
        ..vp8.clone()
    };
    let tuned = RTCRtpCodec {
        sdp_fmtp_line: Some("x=1".into()),
        ..vp8
    };
    for wanted in [&audio.codecs[..], &[slower], &[tuned], &[rtx, fec]] {
        let refused = video.pick(wanted).unwrap_err();
        assert_eq!(
            refused.kind,
            RTCErrorKind::InvalidModification,
            "{wanted:?}"
        );
    }
}
