//! Subscriptions to encoded tracks, in groups that share encoders: what sound and pictures have in
//! common.
//!
//! Not concerned with what an encoder makes, nor with how many a group has: that is its [`Kind`]'s
//! business.

use super::outbox::Outbox;
use duet_media::{MediaKind, MediaStreamTrack};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What differs between sound and pictures.
pub(super) trait Kind: Sized {
    const KIND: MediaKind;
    /// One subscription as its encoder sees it.
    type Client;
    /// What is made for it.
    type Item;
    type Settings: Copy + PartialEq;
    /// Settings, as a key.
    type Key: Eq + Hash;
    /// What serves a group.
    type Encoders: Default;
    /// By which of them a member is served.
    type Seat: Default;
    /// What all groups share.
    type Context;

    fn key(settings: &Self::Settings) -> Self::Key;
    fn outbox(client: &Self::Client) -> &Outbox<Self::Item>;
    /// Makes, feeds and ends encoders as the members want it now.
    fn settle(group: &mut Group<Self>, context: &Self::Context);
    /// A member leaves.
    fn detach(encoders: &Self::Encoders, member: &Member<Self>);
    /// Whether the encoders of an only member go on with other settings. If not, it gets others.
    fn take_on(encoders: &Self::Encoders, settings: &Self::Settings) -> bool;
    /// How many encoders run.
    fn running(encoders: &Self::Encoders) -> usize;
}

/// The subscriptions to one (track, settings), and what serves them.
pub(super) struct Group<K: Kind> {
    pub(super) track: MediaStreamTrack,
    pub(super) settings: K::Settings,
    pub(super) members: Vec<Member<K>>,
    pub(super) encoders: K::Encoders,
}

pub(super) struct Member<K: Kind> {
    pub(super) client: Arc<K::Client>,
    /// Whether it takes anything yet.
    pub(super) active: bool,
    pub(super) seat: K::Seat,
}

impl<K: Kind> Group<K> {
    fn find(&self, client: &Arc<K::Client>) -> Option<usize> {
        let mut members = self.members.iter();
        members.position(|member| Arc::ptr_eq(&member.client, client))
    }

    fn leave(&mut self, client: &Arc<K::Client>) {
        if let Some(at) = self.find(client) {
            let member = self.members.swap_remove(at);
            K::detach(&self.encoders, &member);
        }
    }

    fn activate(&mut self, client: &Arc<K::Client>) {
        if let Some(at) = self.find(client) {
            self.members[at].active = true;
        }
    }
}

/// The groups of one kind. Clones are the same hub.
pub(super) struct Hub<K: Kind>(Arc<HubShared<K>>);

struct HubShared<K: Kind> {
    context: K::Context,
    groups: Mutex<HashMap<Place<K>, Group<K>>>,
}

/// A track's id and settings.
type Place<K> = (String, <K as Kind>::Key);

impl<K: Kind> Hub<K> {
    pub(super) fn new(context: K::Context) -> Self {
        Hub(Arc::new(HubShared {
            context,
            groups: Mutex::default(),
        }))
    }

    pub(super) fn encoders(&self) -> usize {
        let groups = self.0.groups.lock();
        groups
            .values()
            .map(|group| K::running(&group.encoders))
            .sum()
    }

    fn join(&self, binding: &Binding<K>, client: &Arc<K::Client>, active: bool) {
        let Some((track, place)) = binding.place() else {
            return;
        };
        let mut groups = self.0.groups.lock();
        let group = groups.entry(place).or_insert_with(|| Group {
            track: track.clone(),
            settings: binding.settings,
            members: Vec::new(),
            encoders: K::Encoders::default(),
        });
        group.members.push(Member {
            client: client.clone(),
            active,
            seat: K::Seat::default(),
        });
        K::settle(group, &self.0.context);
    }

    /// Changes the group of `binding` and lets it settle; a group without members goes.
    fn change(&self, binding: &Binding<K>, change: impl FnOnce(&mut Group<K>)) {
        let Some((_, place)) = binding.place() else {
            return;
        };
        let mut groups = self.0.groups.lock();
        let Some(group) = groups.get_mut(&place) else {
            return;
        };
        change(group);
        let gone = if group.members.is_empty() {
            groups.remove(&place)
        } else {
            K::settle(group, &self.0.context);
            None
        };
        drop(groups);
        // It may hold the last handle of a track, whose source's owner then does what it likes.
        drop(gone);
    }

    /// Gives an only member's group other settings as it is. False if its encoders do not take them
    /// on, or if others have those settings already.
    fn rekey(&self, old: &Binding<K>, new: &Binding<K>) -> bool {
        let (Some((track, from)), Some((other, to))) = (old.place(), new.place()) else {
            return false;
        };
        let mut groups = self.0.groups.lock();
        if track != other || groups.contains_key(&to) {
            return false;
        }
        let fits = |group: &mut Group<K>| {
            group.members.len() == 1 && K::take_on(&group.encoders, &new.settings)
        };
        if !groups.get_mut(&from).is_some_and(fits) {
            return false;
        }
        if let Some(mut group) = groups.remove(&from) {
            group.settings = new.settings;
            groups.insert(to, group);
        }
        true
    }
}

impl<K: Kind> Clone for Hub<K> {
    fn clone(&self) -> Self {
        Hub(self.0.clone())
    }
}

/// One client's place in a hub, for as long as it is held.
pub(super) struct Subscription<K: Kind> {
    hub: Hub<K>,
    pub(super) client: Arc<K::Client>,
    /// Whether anybody takes anything yet.
    active: AtomicBool,
    binding: Mutex<Binding<K>>,
}

struct Binding<K: Kind> {
    track: Option<MediaStreamTrack>,
    settings: K::Settings,
}

impl<K: Kind> Binding<K> {
    fn place(&self) -> Option<(&MediaStreamTrack, Place<K>)> {
        let track = self.track.as_ref()?;
        Some((track, (track.id().to_owned(), K::key(&self.settings))))
    }
}

impl<K: Kind> Subscription<K> {
    pub(super) fn new(
        hub: Hub<K>,
        track: Option<&MediaStreamTrack>,
        settings: K::Settings,
        client: K::Client,
    ) -> Self {
        let subscription = Subscription {
            hub,
            client: Arc::new(client),
            active: AtomicBool::new(false),
            binding: Mutex::new(Binding {
                track: None,
                settings,
            }),
        };
        subscription.retarget(track);
        subscription
    }

    /// What was made next; `None` once it is closed. The first call makes the client an active one.
    pub(super) async fn next(&self) -> Option<K::Item> {
        std::future::poll_fn(|cx| {
            if !self.active.load(Ordering::Acquire) {
                self.activate();
            }
            K::outbox(&self.client).poll_next(cx)
        })
        .await
    }

    /// The client wants something else.
    pub(super) fn changed(&self) {
        self.hub.change(&self.binding.lock(), |_| ());
    }

    pub(super) fn retarget(&self, track: Option<&MediaStreamTrack>) {
        let track = track.filter(|track| track.kind() == K::KIND);
        self.rebind(|binding| Binding {
            track: track.cloned(),
            settings: binding.settings,
        });
    }

    pub(super) fn set_settings(&self, settings: K::Settings) {
        self.rebind(|binding| Binding {
            track: binding.track.clone(),
            settings,
        });
    }

    pub(super) fn close(&self) {
        K::outbox(&self.client).close();
        self.retarget(None);
    }

    fn activate(&self) {
        // The lock first: who holds it reads `active`, and joins a group with it.
        let binding = self.binding.lock();
        if !self.active.swap(true, Ordering::AcqRel) {
            self.hub
                .change(&binding, |group| group.activate(&self.client));
        }
    }

    fn rebind(&self, new: impl FnOnce(&Binding<K>) -> Binding<K>) {
        let mut binding = self.binding.lock();
        let mut new = new(&binding);
        if K::outbox(&self.client).is_closed() {
            new.track = None;
        }
        if (&new.track, new.settings) == (&binding.track, binding.settings) {
            return;
        }
        if !self.hub.rekey(&binding, &new) {
            self.hub.change(&binding, |group| group.leave(&self.client));
            let active = self.active.load(Ordering::Acquire);
            self.hub.join(&new, &self.client, active);
        }
        let old = std::mem::replace(&mut *binding, new);
        drop(binding);
        drop(old);
    }
}

impl<K: Kind> Drop for Subscription<K> {
    fn drop(&mut self) {
        self.close();
    }
}
