//! The browser's media model without the browser: what a program depends on.
//!
//! | module | what is in it |
//! |---|---|
//! | [`media`] | `MediaStream`, `MediaStreamTrack`, frames, sources and sinks |
//! | [`devices`] | `MediaDevices`: cameras, microphones, speakers, files, the synthetic pair |
//! | [`peer`] | `RTCPeerConnection` and its kin |
//! | [`recorder`] | `MediaRecorder`, coded files as streams, a live stream under a URL |
//! | [`signaling`] | the server, its protocol, and a client |
//! | [`codec`] | VP8 and Opus |
//! | [`session`] | call logic without input and output: negotiation, jitter buffers, lip-sync |
//!
//! ```
//! use duet::devices::synthetic::{SyntheticCamera, SyntheticCameraConfig};
//! use duet::media::{MediaStream, MonotonicClock};
//! use duet::peer::{PeerContext, RTCConfiguration, RTCPeerConnection};
//! use std::sync::Arc;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), duet::peer::RTCError> {
//! let clock = Arc::new(MonotonicClock::new());
//! let camera = SyntheticCamera::start(SyntheticCameraConfig::default(), clock.clone());
//! let stream = MediaStream::from_tracks([camera.clone()]);
//!
//! let connection = RTCPeerConnection::new(RTCConfiguration::default(), PeerContext::new(clock)).await?;
//! connection.add_track(&camera, &[&stream]).await?;
//! connection.set_local_description(None).await?;
//! let offer = connection.local_description().await.expect("it has just been set");
//! assert!(offer.sdp.contains("m=video"));
//! connection.close().await;
//! # Ok(())
//! # }
//! ```

pub use duet_codec as codec;
pub use duet_devices as devices;
pub use duet_media as media;
pub use duet_peer as peer;
pub use duet_recorder as recorder;
pub use duet_session as session;
pub use duet_signaling as signaling;
