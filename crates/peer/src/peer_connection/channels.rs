//! A connection's data channels: made, given their ids, and known to the substrate.

use super::Shared;
use crate::{
    PeerConnectionEvent, RTCDataChannel, RTCDataChannelInit, RTCError, RTCPeerConnection,
    RTCSctpTransport,
};
use rtc::statistics::stats::data_channel::RTCDataChannelStats;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use webrtc::data_channel::DataChannel;
use webrtc::peer_connection::{RTCStatsReportEntry, StatsSelector};

impl RTCPeerConnection {
    /// [`sctp`](https://w3c.github.io/webrtc-pc/#dom-rtcpeerconnection-sctp): what carries the data
    /// channels, once both sides have agreed on any.
    pub fn sctp(&self) -> Option<RTCSctpTransport> {
        self.0.sctp()
    }

    /// [`createDataChannel`](https://w3c.github.io/webrtc-pc/#dom-rtcpeerconnection-createdatachannel).
    /// It never waits.
    ///
    /// # Errors
    /// `InvalidStateError` if the connection is closed, `TypeError` for settings that exclude one
    /// another or are out of bounds, `OperationError` for an id in use, or if there is none left.
    pub async fn create_data_channel(
        &self,
        label: &str,
        init: RTCDataChannelInit,
    ) -> Result<RTCDataChannel, RTCError> {
        self.0.check_open()?;
        init.check(label)?;
        let id = self.0.channel_id(&init)?;
        let channel = RTCDataChannel::new(label, init, id, self.0.this.clone());
        self.0.keep_channel(channel.clone());
        self.0.negotiation.lock().wants_data = true;
        self.0.something_changed();
        let shared = self.0.clone();
        tokio::spawn(async move { shared.attach_channels().await });
        Ok(channel)
    }
}

impl Shared {
    fn channel_id(&self, init: &RTCDataChannelInit) -> Result<Option<u16>, RTCError> {
        let mut ids = self.channel_ids.lock();
        if let Some(id) = init.negotiated_id {
            if !ids.take(id) {
                let message = format!("a data channel with id {id} is there already");
                return Err(RTCError::operation(message));
            }
            return Ok(Some(id));
        }
        if !ids.role_known() {
            return Ok(None);
        }
        let id = ids.next();
        let id = id.ok_or_else(|| RTCError::operation("no id is left for a data channel"))?;
        Ok(Some(id))
    }

    /// Who opens channels under which ids is agreed on: those that wait get theirs.
    pub(crate) fn give_channel_ids(&self, client: bool) {
        self.channel_ids.lock().set_client(client);
        for channel in self.channels() {
            if channel.id().is_some() || channel.is_closed() {
                continue;
            }
            let id = self.channel_ids.lock().next();
            match id {
                Some(id) => channel.set_id(id),
                None => channel.fail(RTCError::operation("no id is left for a data channel")),
            }
        }
    }

    /// Makes the channels known to the substrate, in the order in which they were made.
    pub(crate) async fn attach_channels(&self) {
        let _one_by_one = self.attaching.lock().await;
        if self.is_closed() {
            return;
        }
        for channel in self.channels() {
            if let Err(error) = channel.attach(self).await {
                channel.fail(error);
            }
        }
    }

    /// The other side opened one.
    pub(crate) async fn take_channel(&self, known: Arc<dyn DataChannel>) {
        let id = self.stream_of(known.id()).await;
        if let Some(id) = id {
            self.channel_ids.lock().take(id);
        }
        self.follow_sctp().await;
        let Ok(channel) = RTCDataChannel::incoming(known, id, self.this.clone()).await else {
            return; // Closed meanwhile.
        };
        self.keep_channel(channel.clone());
        let event = PeerConnectionEvent::DataChannel(channel.clone());
        self.tell(&event);
        channel.announce();
    }

    /// The SCTP stream of a channel of the substrate's: it tells it in its statistics alone.
    pub(crate) async fn stream_of(&self, known: usize) -> Option<u16> {
        self.channel_stats(known, |stats| stats.data_channel_identifier)
            .await
    }

    /// How many messages came over a channel of the substrate's, those that wait in it included.
    pub(crate) async fn messages_of(&self, known: usize) -> Option<u64> {
        self.channel_stats(known, |stats| u64::from(stats.messages_received))
            .await
    }

    async fn channel_stats<T>(
        &self,
        known: usize,
        pick: impl Fn(&RTCDataChannelStats) -> T,
    ) -> Option<T> {
        let id = format!("RTCDataChannel_{known}");
        let report = self
            .substrate
            .get_stats(tokio::time::Instant::now().into_std(), StatsSelector::None)
            .await;
        report.iter().find_map(|entry| match entry {
            RTCStatsReportEntry::DataChannel(stats) if stats.stats.id == id => Some(pick(stats)),
            _ => None,
        })
    }

    /// How many were opened, and closed.
    pub(crate) fn channels_seen(&self) -> (u32, u32) {
        let opened = self.channels_opened.load(Ordering::Relaxed);
        (opened, self.channels_closed.load(Ordering::Relaxed))
    }

    fn keep_channel(&self, channel: RTCDataChannel) {
        let mut channels = self.channels.lock();
        channels.retain(|channel| !channel.is_closed());
        channels.push(channel);
    }

    /// The data channels that are not closed.
    pub(crate) fn channels(&self) -> Vec<RTCDataChannel> {
        self.channels.lock().clone()
    }
}
