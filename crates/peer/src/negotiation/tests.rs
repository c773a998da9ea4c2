use super::*;
use crate::{
    NetworkPolicy, PeerContext, RTCConfiguration, RTCDataChannelInit, RTCRtpTransceiverInit,
};
use duet_media::MediaKind;

async fn connection() -> RTCPeerConnection {
    let context = PeerContext {
        network: NetworkPolicy::LoopbackOnly,
        mdns: false,
        ..PeerContext::default()
    };
    let connection = RTCPeerConnection::new(RTCConfiguration::default(), context);
    connection.await.expect("a connection")
}

#[tokio::test]
async fn offers_that_are_taken_back_leave_no_stream_behind() {
    let (a, b) = (connection().await, connection().await);
    let init = RTCDataChannelInit::default();
    a.create_data_channel("first", init).await.unwrap();
    a.set_local_description(None).await.unwrap();
    let offer = a.local_description().await.unwrap();
    b.set_remote_description(offer).await.unwrap();
    b.set_local_description(None).await.unwrap();
    let answer = b.local_description().await.unwrap();
    a.set_remote_description(answer).await.unwrap();

    for _ in 0..3 {
        a.add_transceiver(MediaKind::Video, RTCRtpTransceiverInit::default())
            .await
            .unwrap();
    }
    let offer = a.create_offer(RTCOfferOptions::default()).await.unwrap();
    let ssrcs = || -> Vec<u32> {
        let transceivers = b.get_transceivers();
        transceivers.iter().map(|t| t.0.sender.0.ssrc).collect()
    };
    let mut gone = Vec::new();
    for _ in 0..3 {
        b.set_remote_description(offer.clone()).await.unwrap();
        let there = ssrcs();
        assert_eq!(there.len(), 3);
        let known = |ssrc: &u32| b.0.path.outbound_counters(*ssrc).is_some();
        assert!(there.iter().all(known));
        assert!(!gone.iter().any(known), "the last offer's are forgotten");
        gone.extend(there);
    }
    a.close().await;
    b.close().await;
}
