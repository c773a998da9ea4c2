use super::*;

const WIDE: AudioPath = AudioPath {
    estimate_bps: 2_000_000,
    share_bps: 48_000,
    loss: 0.0,
};

fn at(seconds: f64) -> MediaTime {
    MediaTime::ZERO + Duration::from_secs_f64(seconds)
}

fn with_red() -> AudioSendPolicy {
    AudioSendPolicy::new(AudioLimits {
        red: true,
        ..Default::default()
    })
}

fn ms(sending: AudioSending) -> u128 {
    sending.packet_time.as_millis()
}

#[test]
fn a_clean_path_pays_for_nothing() {
    let mut policy = with_red();
    for second in 0..60 {
        let sending = policy.update(WIDE, at(f64::from(second)));
        let expected = AudioSending {
            bitrate_bps: 48_000,
            expected_loss: 0,
            packet_time: Duration::from_millis(20),
            copies: 0,
        };
        assert_eq!(sending, expected);
    }
}

#[test]
fn losses_are_believed_at_once_and_forgotten_slowly() {
    let mut policy = with_red();
    let lossy = AudioPath { loss: 0.05, ..WIDE };
    let sending = policy.update(lossy, at(10.0));
    assert_eq!((sending.copies, sending.bitrate_bps), (1, 32_000));
    assert_eq!(
        sending.expected_loss, 0,
        "a copy leaves a quarter of a percent"
    );
    // The next report has none; a burst may follow.
    assert_eq!(policy.update(WIDE, at(11.0)).copies, 1);
    assert_eq!(
        policy.update(WIDE, at(18.0)).copies,
        1,
        "1.7 % are remembered"
    );
    let sending = policy.update(WIDE, at(40.0));
    assert_eq!(
        (sending.copies, sending.expected_loss, sending.bitrate_bps),
        (0, 0, 48_000)
    );
}

#[test]
fn heavy_losses_get_two_copies_and_coarse_ones_besides() {
    let mut policy = with_red();
    let sending = policy.update(AudioPath { loss: 0.4, ..WIDE }, at(1.0));
    assert_eq!(sending.copies, 2);
    assert_eq!(sending.expected_loss, 7, "0.4 to the third");
}

#[test]
fn without_red_or_room_the_encoder_makes_coarse_copies() {
    let lossy = AudioPath { loss: 0.05, ..WIDE };
    let sending = AudioSendPolicy::new(AudioLimits::default()).update(lossy, at(1.0));
    assert_eq!(
        (sending.copies, sending.expected_loss, sending.bitrate_bps),
        (0, 5, 48_000)
    );
    let thin = AudioPath {
        estimate_bps: 120_000,
        share_bps: 16_000,
        loss: 0.05,
    };
    let sending = with_red().update(thin, at(1.0));
    assert_eq!((sending.copies, sending.expected_loss), (0, 5));
    let room_for_one = AudioPath {
        estimate_bps: 300_000,
        share_bps: 27_000,
        loss: 0.4,
    };
    assert_eq!(with_red().update(room_for_one, at(1.0)).copies, 1);
}

#[test]
fn an_accident_is_no_loss() {
    let sending = with_red().update(
        AudioPath {
            loss: 0.005,
            ..WIDE
        },
        at(1.0),
    );
    assert_eq!((sending.copies, sending.expected_loss), (0, 0));
}

#[test]
fn packets_get_longer_at_once_and_shorter_with_patience() {
    let mut policy = with_red();
    let of = |estimate_bps| AudioPath {
        estimate_bps,
        share_bps: 16_000,
        loss: 0.0,
    };
    assert_eq!(ms(policy.update(of(150_000), at(0.0))), 40);
    assert_eq!(ms(policy.update(of(60_000), at(1.0))), 60);
    assert_eq!(ms(policy.update(of(300_000), at(2.0))), 60);
    assert_eq!(ms(policy.update(of(300_000), at(6.9))), 60);
    assert_eq!(ms(policy.update(of(300_000), at(7.0))), 20);
    // About a border nothing happens.
    assert_eq!(ms(policy.update(of(190_000), at(8.0))), 40);
    for tenth in 0..200 {
        let estimate = if tenth % 2 == 0 { 195_000 } else { 185_000 };
        let now = at(9.0 + f64::from(tenth) / 10.0);
        assert_eq!(ms(policy.update(of(estimate), now)), 40);
    }
}

#[test]
fn a_storm_makes_no_packet_longer() {
    let mut policy = with_red();
    let storm = AudioPath {
        estimate_bps: 250_000,
        share_bps: 16_000,
        loss: 0.4,
    };
    assert_eq!(ms(policy.update(storm, at(0.0))), 20);
}

#[test]
fn the_other_sides_wishes_hold() {
    let thin = AudioPath {
        estimate_bps: 60_000,
        ..WIDE
    };
    let time = |limits: AudioLimits, path| ms(AudioSendPolicy::new(limits).update(path, at(1.0)));
    let millis = Duration::from_millis;
    let none = AudioLimits::default();
    assert_eq!(
        time(
            AudioLimits {
                packet_time: Some(millis(10)),
                ..none
            },
            WIDE
        ),
        10
    );
    assert_eq!(
        time(
            AudioLimits {
                packet_time: Some(millis(60)),
                ..none
            },
            WIDE
        ),
        60
    );
    assert_eq!(
        time(
            AudioLimits {
                packet_time: Some(millis(10)),
                ..none
            },
            thin
        ),
        60
    );
    assert_eq!(
        time(
            AudioLimits {
                max_packet_time: millis(40),
                ..none
            },
            thin
        ),
        40
    );
    assert_eq!(
        time(
            AudioLimits {
                max_packet_time: millis(30),
                ..none
            },
            thin
        ),
        20
    );
    assert_eq!(
        time(
            AudioLimits {
                min_packet_time: millis(40),
                ..none
            },
            WIDE
        ),
        40
    );
    // What nobody can keep is no rule.
    assert_eq!(
        time(
            AudioLimits {
                max_packet_time: millis(3),
                ..none
            },
            WIDE
        ),
        10
    );
    assert_eq!(
        time(
            AudioLimits {
                min_packet_time: millis(120),
                ..none
            },
            WIDE
        ),
        60
    );
    let contradictory = AudioLimits {
        min_packet_time: millis(60),
        max_packet_time: millis(10),
        ..none
    };
    assert_eq!(time(contradictory, WIDE), 20);
}

#[test]
fn reports_that_lie_are_bounded() {
    let mut policy = with_red();
    for loss in [f64::NAN, f64::INFINITY, -3.0, 7.0, 1.0] {
        let sending = policy.update(
            AudioPath {
                estimate_bps: u64::MAX,
                share_bps: u64::MAX,
                loss,
            },
            at(1.0),
        );
        assert!(sending.copies <= 2 && sending.expected_loss <= 30);
    }
    let nothing = policy.update(
        AudioPath {
            estimate_bps: 0,
            share_bps: 0,
            loss: 1.0,
        },
        at(0.0),
    );
    assert_eq!((nothing.copies, ms(nothing)), (0, 60));
}
