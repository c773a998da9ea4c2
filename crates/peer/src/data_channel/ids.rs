//! Stream ids of data channels ([RFC 8832, section 6](https://www.rfc-editor.org/rfc/rfc8832#section-6)):
//! even ones are the DTLS client's to open, odd ones the server's; those that both sides agreed on are
//! whatever they say.

use std::collections::HashSet;

/// 65,535 is reserved.
pub(crate) const MAX_ID: u16 = 65_534;

/// The ids in use.
#[derive(Default)]
pub(crate) struct ChannelIds {
    used: HashSet<u16>,
    /// Whether this side is the DTLS client, once that is agreed on.
    client: Option<bool>,
}

impl ChannelIds {
    /// Takes an id that both sides agreed on, or that the other side opened; false if it is in use.
    pub(crate) fn take(&mut self, id: u16) -> bool {
        self.used.insert(id)
    }

    /// The role of this side is agreed on.
    pub(crate) fn set_client(&mut self, client: bool) {
        self.client.get_or_insert(client);
    }

    /// Whether ids can be given out.
    pub(crate) fn role_known(&self) -> bool {
        self.client.is_some()
    }

    /// The lowest free id of this side; `None` if there is none, or the role is not known yet.
    pub(crate) fn next(&mut self) -> Option<u16> {
        let first = if self.client? { 0 } else { 1 };
        let id = (first..=MAX_ID)
            .step_by(2)
            .find(|id| !self.used.contains(id))?;
        self.used.insert(id);
        Some(id)
    }

    /// A channel is closed.
    pub(crate) fn release(&mut self, id: u16) {
        self.used.remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_side_has_its_half() {
        let mut ids = ChannelIds::default();
        assert!(ids.take(1) && ids.take(2) && !ids.take(1));
        assert_eq!(ids.next(), None, "nobody knows who is the client");
        ids.set_client(false);
        ids.set_client(true);
        assert_eq!((ids.next(), ids.next()), (Some(3), Some(5)));
        ids.release(3);
        assert_eq!((ids.next(), ids.next()), (Some(3), Some(7)));
        let mut client = ChannelIds::default();
        client.set_client(true);
        assert!(client.take(0));
        assert_eq!(client.next(), Some(2));
    }

    #[test]
    fn ids_run_out() {
        let mut ids = ChannelIds::default();
        ids.set_client(true);
        let all = std::iter::from_fn(|| ids.next()).count();
        assert_eq!(all, 32_768);
        ids.release(MAX_ID);
        assert_eq!(ids.next(), Some(MAX_ID));
    }
}
