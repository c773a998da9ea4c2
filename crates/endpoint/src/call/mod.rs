//! `duet call`: a seat in a room, and a call with whoever else is there.

mod link;
mod lobby;
mod recording;
mod remote;
mod room;

use crate::args::Call;
use crate::failure::Failure;
use crate::local::LocalMedia;
use crate::report::{Expectations, Report};
use crate::serve::asked_to_end;
use crate::statistics;
use crate::stats_file::StatsFile;
use crate::stats_table::{Reported, StatsTable};
use crate::tell::Tell;
use crate::ways::{Ways, has_relay};
use duet_devices::MediaDevices;
use duet_media::{Clock, MediaTime, MonotonicClock};
use duet_peer::{PeerConnectionEvent, PeerContext, RTCIceServer, RTCPeerConnectionState};
use duet_session::RecoveryAction;
use duet_signaling::{ClientMessage, PeerId, PeerInfo};
use link::{Link, LinkEvent};
use lobby::Lobby;
use recording::Recordings;
use remote::Remote;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Events of connections that wait to be handled. When it is full the connections' forwarders wait,
/// and the connections count what they could not tell.
const LINK_EVENTS: usize = 256;
/// Calls at the same time: whoever else fits into the largest room.
const MAX_LINKS: usize = 15;
/// How often statistics are written and shown.
const STATS_PERIOD: Duration = Duration::from_secs(1);

pub(crate) async fn run(options: Call, tell: &Tell) -> Result<ExitCode, Failure> {
    let clock = Arc::new(MonotonicClock::new());
    let devices = MediaDevices::new(clock.clone());
    // What makes no sense is said before a camera's light goes on.
    let stats_file = options
        .stats_file
        .as_deref()
        .map(StatsFile::create)
        .transpose()?;
    if let Some(path) = &options.report {
        crate::loopback::check_report(path)?;
    }
    let recordings = options
        .record
        .as_deref()
        .map(|path| Recordings::open(path, *tell))
        .transpose()?;
    let remote = Remote::new(&options, &devices, clock.clone(), tell)?;
    let local = LocalMedia::open(&options.media, &devices, clock.clone(), tell)?;
    let mut context = PeerContext::new(clock.clone());
    context.max_bitrate = options.media.picture.video_kbps * 1_000 + 64_000;
    context.start_bitrate = context.start_bitrate.min(context.max_bitrate);
    options.ways.prepare(&mut context)?;
    let (event_sender, link_events) = mpsc::channel(LINK_EVENTS);
    let lobby = Lobby::open(&options, *tell);
    let task = CallTask {
        tell: *tell,
        clock,
        context,
        local,
        remote,
        recordings,
        stats_file,
        stats_table: options.stats.then(StatsTable::new),
        links: Vec::new(),
        next_link: 0,
        event_sender,
        ice_servers: Vec::new(),
        ways: options.ways.clone(),
        report: options.report.clone(),
    };
    task.run(lobby, link_events, options.duration).await
}

/// The whole call: one task, which owns every connection.
struct CallTask {
    tell: Tell,
    clock: Arc<MonotonicClock>,
    context: PeerContext,
    local: LocalMedia,
    remote: Remote,
    recordings: Option<Recordings>,
    stats_file: Option<StatsFile>,
    stats_table: Option<StatsTable>,
    links: Vec<Link>,
    next_link: u64,
    event_sender: mpsc::Sender<LinkEvent>,
    /// Those that the signaling server names.
    ice_servers: Vec<RTCIceServer>,
    ways: Ways,
    report: Option<std::path::PathBuf>,
}

impl CallTask {
    async fn run(
        mut self,
        mut lobby: Lobby,
        mut link_events: mpsc::Receiver<LinkEvent>,
        duration: Option<Duration>,
    ) -> Result<ExitCode, Failure> {
        let mut stats_tick = tokio::time::interval(STATS_PERIOD);
        let end = tokio::time::sleep(duration.unwrap_or(Duration::from_secs(u64::from(u32::MAX))));
        let interrupted = asked_to_end();
        tokio::pin!(end, interrupted);
        let outcome = loop {
            let timeout = self.until_timeout();
            tokio::select! {
                event = lobby.next() => {
                    if let Err(failure) = self.on_lobby(event, &mut lobby).await {
                        break Err(failure);
                    }
                }
                Some((link, event)) = link_events.recv() => self.on_link(link, event, &lobby).await,
                () = tokio::time::sleep(timeout) => {}
                _ = stats_tick.tick() => {
                    if let Err(failure) = self.write_stats().await {
                        break Err(failure);
                    }
                }
                () = &mut end => break Ok(()),
                () = &mut interrupted => break Ok(()),
            }
            self.recover(&lobby).await;
        };
        for link in &self.links {
            lobby
                .send(ClientMessage::Bye {
                    to: link.peer_id().clone(),
                })
                .await;
        }
        lobby.close().await;
        let report = self.judge().await;
        if let Some(recordings) = &mut self.recordings {
            recordings.finish().await;
        }
        for link in self.links.drain(..) {
            link.close().await;
        }
        outcome?;
        Ok(match report? {
            Some(report) if !report.pass => ExitCode::from(1),
            _ => ExitCode::SUCCESS,
        })
    }

    async fn on_link(&mut self, id: u64, event: PeerConnectionEvent, lobby: &Lobby) {
        let now = self.clock.now();
        let Some(link) = self.links.iter_mut().find(|link| link.id == id) else {
            return;
        };
        match event {
            PeerConnectionEvent::NegotiationNeeded => {
                // The first offer is the newcomer's to make; later ones either side's.
                if link.may_offer() {
                    link.want_offer();
                    self.drive(lobby).await;
                }
            }
            PeerConnectionEvent::IceCandidate(candidate) => {
                let reachable = link.reachable;
                if let Some(message) = link.candidate_message(candidate)
                    && reachable
                {
                    lobby.send(message).await;
                }
            }
            PeerConnectionEvent::ConnectionStateChange(state) => {
                link.on_state(state, now);
                match state {
                    RTCPeerConnectionState::Connected => {
                        self.tell
                            .say(format_args!("in a call with {}", link.name()));
                        if let Some(recordings) = &mut self.recordings {
                            recordings.connected(id);
                        }
                        // What the first offer had no place for was told of before it was our turn.
                        if link.may_offer() && link.connection.negotiation_needed() {
                            link.want_offer();
                            self.drive(lobby).await;
                        }
                    }
                    RTCPeerConnectionState::Disconnected => {
                        self.tell
                            .say(format_args!("{} cannot be heard", link.name()));
                    }
                    _ => {}
                }
            }
            PeerConnectionEvent::Track(event) => {
                self.remote.attach(id, &event.track);
                if let Some(recordings) = &mut self.recordings {
                    recordings.track(id, &event.track).await;
                }
            }
            PeerConnectionEvent::IceCandidateError(error) => {
                tracing::warn!(
                    url = error.url,
                    code = error.error_code,
                    "{}",
                    error.error_text
                );
            }
            PeerConnectionEvent::SignalingStateChange(_)
            | PeerConnectionEvent::IceConnectionStateChange(_)
            | PeerConnectionEvent::IceGatheringStateChange(_)
            | PeerConnectionEvent::DataChannel(_) => {}
        }
    }

    /// Does what is due for each connection: restarts ICE, gives up.
    async fn recover(&mut self, lobby: &Lobby) {
        let now = self.clock.now();
        let mut at = 0;
        while let Some(link) = self.links.get_mut(at) {
            if link.has_fallen_silent(now).await {
                self.tell.say(format_args!("{} is gone", link.name()));
                self.close_link(at).await;
                continue;
            }
            match link.poll_recovery(now) {
                None => at += 1,
                // The lobby comes back by itself.
                Some(RecoveryAction::Rejoin) => {}
                Some(RecoveryAction::RestartIce) => {
                    self.tell
                        .say(format_args!("looking for another way to {}", link.name()));
                    link.restart_ice();
                    self.drive(lobby).await;
                }
                Some(RecoveryAction::GiveUp) => {
                    self.tell
                        .warn(format_args!("{} did not come back", link.name()));
                    self.close_link(at).await;
                }
            }
        }
    }

    async fn close_link(&mut self, at: usize) {
        let link = self.links.swap_remove(at);
        self.remote.detach(link.id);
        if let Some(recordings) = &mut self.recordings {
            recordings.gone(link.id).await;
        }
        link.close().await;
    }

    async fn drive(&mut self, lobby: &Lobby) {
        for link in &mut self.links {
            if link.reachable {
                for message in link.drive().await {
                    lobby.send(message).await;
                }
            }
        }
    }

    async fn open_link(&mut self, peer: PeerInfo) -> Result<(), Failure> {
        if self.links.len() == MAX_LINKS {
            tracing::warn!("there are {MAX_LINKS} calls already; {} has none", peer.id);
            return Ok(());
        }
        let id = self.next_link;
        self.next_link += 1;
        let configuration = self.ways.configuration(&self.ice_servers);
        if self.ways.are_relayed() && !has_relay(&configuration.ice_servers) {
            self.tell.warn(
                "only ways through a TURN server may be used, and there is none: see --ice-server",
            );
        }
        self.remote.calling(self.clock.now());
        let stream = self.local.stream();
        let link = Link::new(
            id,
            peer,
            configuration,
            &self.context,
            stream,
            self.event_sender.clone(),
        );
        let link = link.await.map_err(|error| {
            Failure::failed(format_args!("no connection can be made here: {error}"))
        })?;
        self.links.push(link);
        Ok(())
    }

    fn link_with(&mut self, id: &PeerId) -> Option<&mut Link> {
        self.links.iter_mut().find(|link| link.peer_id() == id)
    }

    fn until_timeout(&self) -> Duration {
        let next: Option<MediaTime> = self.links.iter().filter_map(Link::next_timeout).min();
        let far = Duration::from_secs(3_600);
        next.map_or(far, |at| at.saturating_since(self.clock.now()).min(far))
    }

    async fn write_stats(&mut self) -> Result<(), Failure> {
        if self.stats_file.is_none() && self.stats_table.is_none() {
            return Ok(());
        }
        let unix = self.clock.unix_time(self.clock.now());
        let mut reports = Vec::new();
        for link in self.links.iter().filter(|link| link.is_connected()) {
            reports.push(Reported {
                id: link.peer_id().to_string(),
                name: link.name(),
                report: statistics::snapshot(&link.connection).await,
            });
        }
        if let Some(file) = &mut self.stats_file {
            for Reported { name, report, .. } in &reports {
                file.write(unix, name, report)?;
            }
        }
        match &mut self.stats_table {
            Some(table) => table.show(reports),
            None => Ok(()),
        }
    }

    /// With `--verify`: the verdict.
    async fn judge(&mut self) -> Result<Option<Report>, Failure> {
        let mut concealed = 0.0;
        for link in &self.links {
            concealed = statistics::concealed_ratio(&statistics::snapshot(&link.connection).await);
        }
        let Some(mut report) = self.remote.report(concealed) else {
            return Ok(None);
        };
        report.judge(&Expectations::default());
        self.tell.warn(crate::loopback::verdict(&report));
        if let Some(path) = &self.report {
            crate::loopback::write_report(path, &report)?;
        }
        Ok(Some(report))
    }
}
