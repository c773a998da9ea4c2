//! Somebody answers for the user.

use super::*;
use duet_media::TrackEvent;
use std::sync::mpsc;

/// A user with a mind of their own.
#[derive(Clone)]
struct Person(Arc<Mutex<Mind>>);

struct Mind {
    state: PermissionState,
    answer: Permission,
    forbidden: Option<MediaKind>,
    asked: Vec<(MediaKind, Vec<String>)>,
}

impl Permissions for Person {
    fn allows(&self, kind: MediaKind) -> bool {
        self.0.lock().forbidden != Some(kind)
    }

    fn state(&self, _kind: MediaKind) -> PermissionState {
        self.0.lock().state
    }

    fn request(&self, kind: MediaKind, candidates: &[MediaDeviceInfo]) -> Permission {
        let ids = candidates.iter().map(|device| device.device_id.clone());
        let mut mind = self.0.lock();
        mind.asked.push((kind, ids.collect()));
        mind.answer.clone()
    }
}

fn person() -> (Person, MediaDevices) {
    let person = Person(Arc::new(Mutex::new(Mind {
        state: PermissionState::Prompt,
        answer: Permission::Granted,
        forbidden: None,
        asked: Vec::new(),
    })));
    let devices = devices().with_permissions(person.clone());
    (person, devices)
}

fn of(set: MediaTrackConstraintSet) -> Option<MediaTrackConstraints> {
    Some(set.into())
}

fn synthetic_video() -> MediaStreamConstraints {
    let (audio, video) = (None, of(named(SyntheticCamera::DEVICE_ID)));
    MediaStreamConstraints { audio, video }
}

fn synthetic_audio() -> MediaStreamConstraints {
    let (audio, video) = (of(named(SyntheticMicrophone::DEVICE_ID)), None);
    MediaStreamConstraints { audio, video }
}

fn kinds(devices: &MediaDevices) -> Vec<(MediaDeviceKind, bool)> {
    let all = devices.enumerate_devices().into_iter();
    all.map(|device| (device.kind, device.device_id.is_empty()))
        .collect()
}

#[test]
fn before_the_first_capture_only_the_kinds_are_told() {
    let (person, devices) = person();
    let blank = [
        (MediaDeviceKind::AudioInput, true),
        (MediaDeviceKind::VideoInput, true),
    ];
    assert_eq!(kinds(&devices), blank);
    for device in devices.enumerate_devices() {
        assert_eq!((&*device.label, &*device.group_id), ("", ""));
        assert_eq!(device.capabilities, MediaTrackCapabilities::default());
    }
    let stream = devices.get_user_media(&synthetic_audio()).unwrap();
    let told = kinds(&devices);
    assert!(
        told.contains(&(MediaDeviceKind::AudioInput, false)),
        "{told:?}"
    );
    assert!(
        told.contains(&(MediaDeviceKind::VideoInput, true)),
        "cameras are still hidden"
    );
    // A camera that was granted before comes with the microphone.
    person.0.lock().state = PermissionState::Granted;
    stream.get_tracks()[0].stop();
    devices.get_user_media(&synthetic_audio()).unwrap();
    assert!(kinds(&devices).iter().all(|(_, blank)| !blank));
}

#[test]
fn a_prompt_lists_what_suits_and_is_not_repeated_for_what_is_open() {
    let (person, devices) = person();
    let first = devices.get_user_media(&synthetic_video()).unwrap();
    let second = devices.get_user_media(&synthetic_video()).unwrap();
    let asked = std::mem::take(&mut person.0.lock().asked);
    let camera = SyntheticCamera::DEVICE_ID.to_string();
    assert_eq!(asked, [(MediaKind::Video, vec![camera.clone()])]);
    drop((first, second));
    person.0.lock().answer = Permission::GrantedFor(camera);
    devices.get_user_media(&synthetic_video()).unwrap();
    assert_eq!(
        person.0.lock().asked.len(),
        1,
        "the permission went with the last track"
    );
    person.0.lock().answer = Permission::GrantedFor("another".into());
    let error = devices.get_user_media(&synthetic_video()).unwrap_err();
    assert_eq!(error.name(), "NotAllowedError");
}

#[test]
fn a_refusal_hides_what_could_be_learnt_of_devices() {
    let (person, devices) = person();
    let name =
        |constraints: &MediaStreamConstraints| devices.get_user_media(constraints).unwrap_err();
    let too_wide = MediaStreamConstraints {
        audio: None,
        video: of(MediaTrackConstraintSet {
            width: Some(ConstrainNumber::min(100_000)),
            ..Default::default()
        }),
    };
    let hidden = name(&too_wide);
    assert!(
        matches!(&hidden, GetUserMediaError::Overconstrained { constraint, .. } if constraint.is_empty()),
        "{hidden:?}"
    );
    person.0.lock().answer = Permission::Denied;
    assert_eq!(name(&synthetic_video()).name(), "NotAllowedError");
    person.0.lock().state = PermissionState::Denied;
    assert_eq!(name(&too_wide).name(), "NotAllowedError");
    assert_eq!(name(&synthetic_video()).name(), "NotAllowedError");
    assert_eq!(
        person.0.lock().asked.len(),
        1,
        "what is denied for good is not asked"
    );
}

#[test]
fn what_may_not_be_used_at_all_is_not_there() {
    let (person, devices) = person();
    person.0.lock().forbidden = Some(MediaKind::Video);
    assert!(
        kinds(&devices)
            .iter()
            .all(|(kind, _)| *kind != MediaDeviceKind::VideoInput)
    );
    let error = devices.request_user_media(&synthetic_video()).unwrap_err();
    assert_eq!(error.name(), "NotAllowedError");
    assert!(person.0.lock().asked.is_empty());
}

#[test]
fn a_revoked_permission_ends_the_tracks_of_its_kind() {
    let (_, devices) = person();
    let both = MediaStreamConstraints {
        audio: synthetic_audio().audio,
        video: synthetic_video().video,
    };
    let stream = devices.get_user_media(&both).unwrap();
    let (ended, heard) = mpsc::channel();
    let subscriptions: Vec<_> = stream
        .get_tracks()
        .into_iter()
        .map(|track| {
            let (ended, kind) = (ended.clone(), track.kind());
            track.subscribe(move |event| ended.send((kind, *event)).unwrap())
        })
        .collect();
    devices.revoke(MediaKind::Video);
    assert_eq!(heard.try_recv(), Ok((MediaKind::Video, TrackEvent::Ended)));
    assert!(stream.active(), "the microphone goes on");
    assert!(kinds(&devices).contains(&(MediaDeviceKind::VideoInput, true)));
    devices.revoke(MediaKind::Audio);
    devices.revoke(MediaKind::Audio);
    assert_eq!(heard.try_recv(), Ok((MediaKind::Audio, TrackEvent::Ended)));
    assert!(heard.try_recv().is_err() && !stream.active());
    drop(subscriptions);
}

#[test]
fn closed_devices_stop_in_silence_and_stay_closed() {
    let (_, devices) = person();
    let stream = devices.get_user_media(&synthetic_video()).unwrap();
    let (events, heard) = mpsc::channel();
    let _subscription = stream.get_tracks()[0].subscribe(move |event| events.send(*event).unwrap());
    devices.close();
    assert!(!stream.active() && heard.try_recv().is_err());
    let error = devices.get_user_media(&synthetic_video()).unwrap_err();
    assert_eq!(error.name(), "InvalidStateError");
    let nothing = devices.get_user_media(&Default::default()).unwrap_err();
    assert_eq!(nothing.name(), "TypeError", "which comes first");
    assert!(devices.enumerate_devices().is_empty());
}

#[test]
fn the_callback_form_calls_one_of_the_two() {
    let (person, devices) = person();
    let (told, heard) = mpsc::channel();
    let ask = || {
        let (yes, no) = (told.clone(), told.clone());
        devices.get_user_media_with(
            &synthetic_video(),
            move |stream| {
                let tracks = stream.get_tracks().len();
                // Who still has the camera is not asked for it again.
                drop(stream);
                yes.send(Ok(tracks)).unwrap();
            },
            move |error| no.send(Err(error.name())).unwrap(),
        );
        heard.recv_timeout(Duration::from_secs(10)).unwrap()
    };
    assert_eq!(ask(), Ok(1));
    person.0.lock().answer = Permission::Denied;
    assert_eq!(ask(), Err("NotAllowedError"));
}

#[test]
fn news_of_devices_is_told_once() {
    let (_, devices) = person();
    let (told, heard) = mpsc::channel();
    let _subscription = devices.subscribe(move |event| told.send(event.devices.len()).unwrap());
    devices.check_for_changes();
    assert!(heard.try_recv().is_err(), "there is no news");
    // What may be told has changed, and no device has.
    let _stream = devices.get_user_media(&synthetic_audio()).unwrap();
    devices.check_for_changes();
    assert!(heard.try_recv().is_err(), "there is no news");
    let _stream = devices.get_user_media(&synthetic_video()).unwrap();
    let mut plugged = devices.clone();
    plugged
        .test
        .push(Device::Test(TestCamera::new("camera", 640)));
    plugged.check_for_changes();
    plugged.check_for_changes();
    assert_eq!(heard.try_recv(), Ok(plugged.enumerate_devices().len()));
    assert!(heard.try_recv().is_err());
    devices.revoke(MediaKind::Video);
    devices.check_for_changes();
    assert!(
        heard.try_recv().is_err(),
        "what is told is less, and no news"
    );
}

#[test]
fn who_is_refused_one_kind_learns_nothing_of_the_other() {
    struct MicrophoneOnly;
    impl Permissions for MicrophoneOnly {
        fn state(&self, _kind: MediaKind) -> PermissionState {
            PermissionState::Prompt
        }
        fn request(&self, kind: MediaKind, _candidates: &[MediaDeviceInfo]) -> Permission {
            match kind {
                MediaKind::Audio => Permission::Granted,
                MediaKind::Video => Permission::Denied,
            }
        }
    }
    let devices = devices().with_permissions(MicrophoneOnly);
    let both = MediaStreamConstraints {
        audio: synthetic_audio().audio,
        video: synthetic_video().video,
    };
    let error = devices.get_user_media(&both).unwrap_err();
    assert_eq!(error.name(), "NotAllowedError");
    assert!(kinds(&devices).iter().all(|(_, anonymous)| *anonymous));
    devices.get_user_media(&synthetic_audio()).unwrap();
    assert!(kinds(&devices).iter().any(|(_, anonymous)| !*anonymous));
}
