//! What came over a channel and was not asked for yet: the decisions, without lock, clock or task.
//!
//! A program hears of a channel some time after the channel has begun. From its birth on, messages wait for
//! the first who asks for them, and events for the first handler. Messages are bounded in number and bytes;
//! of the events each waits once.

use super::{DataChannelEvent, DataChannelMessage};
use std::collections::VecDeque;

/// Messages that wait at most. One more is not taken from the wire, and the other side is slowed down.
pub(super) const MAX_WAITING_MESSAGES: usize = 256;
/// Their bytes at most; a message that is larger waits alone.
pub(super) const MAX_WAITING_BYTES: usize = 1 << 20;

/// What waits.
pub(super) struct Backlog {
    /// For handlers.
    untold: VecDeque<DataChannelEvent>,
    /// For who asks for messages, until somebody has, or nobody will.
    unread: Option<VecDeque<DataChannelMessage>>,
    /// The first handler was there.
    told_once: bool,
    /// Somebody calls the handlers now; whatever comes meanwhile, he tells next.
    telling: bool,
}

impl Backlog {
    pub(super) fn new() -> Self {
        Backlog {
            untold: VecDeque::new(),
            unread: Some(VecDeque::new()),
            told_once: false,
            telling: false,
        }
    }

    /// Takes a message in; gives it back if it has to wait outside. `handled`: there are handlers now.
    pub(super) fn offer(
        &mut self,
        message: &DataChannelMessage,
        handled: bool,
    ) -> Result<(), Full> {
        if !fits(untold_messages(&self.untold), message) {
            return Err(Full);
        }
        if let Some(unread) = &mut self.unread {
            if fits(unread.iter(), message) {
                unread.push_back(message.clone());
            } else if handled {
                // Whoever has handlers has had them all: he does not mean to ask.
                self.unread = None;
            } else {
                return Err(Full);
            }
        }
        if self.told_once {
            let message = DataChannelEvent::Message(message.clone());
            self.untold.push_back(message);
        }
        Ok(())
    }

    /// Something that is no message happened. What waits to be told already is not told twice.
    pub(super) fn note(&mut self, event: DataChannelEvent) {
        if !self.untold.contains(&event) {
            self.untold.push_back(event);
        }
    }

    /// There is a handler: the first is told all that waits, the messages after the opening. True if
    /// anything is to be told to it.
    pub(super) fn handle(&mut self) -> bool {
        if std::mem::replace(&mut self.told_once, true) {
            return false;
        }
        let after = usize::from(self.untold.front() == Some(&DataChannelEvent::Open));
        let rest = self.untold.split_off(after);
        let messages = self.unread.iter().flatten().cloned();
        self.untold.extend(messages.map(DataChannelEvent::Message));
        self.untold.extend(rest);
        !self.untold.is_empty()
    }

    /// What to tell now; `told` is called once it is told. Nothing while somebody else tells.
    pub(super) fn next(&mut self) -> Option<DataChannelEvent> {
        if self.telling || !self.told_once {
            return None;
        }
        let event = self.untold.pop_front();
        self.telling = event.is_some();
        event
    }

    pub(super) fn told(&mut self) {
        self.telling = false;
    }

    /// Somebody asks for the messages, or nobody can any more: none waits from now on.
    pub(super) fn read(&mut self) -> VecDeque<DataChannelMessage> {
        self.unread.take().unwrap_or_default()
    }
}

/// A message has to wait until something was read or told.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

fn untold_messages(
    untold: &VecDeque<DataChannelEvent>,
) -> impl Iterator<Item = &DataChannelMessage> {
    untold.iter().filter_map(|event| match event {
        DataChannelEvent::Message(message) => Some(message),
        _ => None,
    })
}

fn fits<'a>(
    waiting: impl Iterator<Item = &'a DataChannelMessage>,
    message: &DataChannelMessage,
) -> bool {
    let (count, bytes) = waiting.fold((0, 0), |(count, bytes), one| {
        (count + 1, bytes + one.size())
    });
    count == 0 || (count < MAX_WAITING_MESSAGES && bytes + message.size() <= MAX_WAITING_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use DataChannelEvent::{BufferedAmountLow, Close, Closing, Message, Open};

    fn text(n: usize) -> DataChannelMessage {
        DataChannelMessage::Text(n.to_string())
    }

    fn large(bytes: usize) -> DataChannelMessage {
        DataChannelMessage::Binary(vec![0; bytes].into())
    }

    fn tell_all(backlog: &mut Backlog) -> Vec<DataChannelEvent> {
        let mut told = Vec::new();
        while let Some(event) = backlog.next() {
            assert_eq!(backlog.next(), None, "one at a time");
            told.push(event);
            backlog.told();
        }
        told
    }

    #[test]
    fn all_waits_for_the_first_handler_in_its_order() {
        let mut backlog = Backlog::new();
        backlog.note(Open);
        backlog.note(BufferedAmountLow);
        backlog.offer(&text(1), false).unwrap();
        backlog.offer(&text(2), false).unwrap();
        backlog.note(BufferedAmountLow);
        backlog.note(Closing);
        backlog.note(Close);
        assert_eq!(backlog.next(), None, "nobody listens");
        backlog.handle();
        let messages = [Message(text(1)), Message(text(2))];
        let mut all = vec![Open];
        all.extend(messages);
        all.extend([BufferedAmountLow, Closing, Close]);
        assert_eq!(tell_all(&mut backlog), all);
        backlog.handle();
        assert_eq!(tell_all(&mut backlog), [], "the second hears what is new");
        assert_eq!(
            backlog.read(),
            [text(1), text(2)],
            "who reads has them, too"
        );
    }

    #[test]
    fn what_was_read_is_not_told_to_a_handler_that_comes_later() {
        let mut backlog = Backlog::new();
        backlog.note(Open);
        backlog.offer(&text(1), false).unwrap();
        assert_eq!(backlog.read(), [text(1)]);
        backlog.offer(&text(2), false).unwrap();
        backlog.handle();
        assert_eq!(tell_all(&mut backlog), [Open]);
        backlog.offer(&text(3), true).unwrap();
        assert_eq!(tell_all(&mut backlog), [Message(text(3))]);
        assert!(backlog.read().is_empty());
    }

    #[test]
    fn messages_are_bounded_in_number_and_bytes() {
        let mut backlog = Backlog::new();
        for n in 0..MAX_WAITING_MESSAGES {
            backlog.offer(&text(n), false).unwrap();
        }
        assert_eq!(backlog.offer(&text(0), false), Err(Full));
        assert_eq!(backlog.read().len(), MAX_WAITING_MESSAGES);
        assert_eq!(backlog.offer(&text(0), false), Ok(()), "somebody reads");

        let mut backlog = Backlog::new();
        let one = large(MAX_WAITING_BYTES + 1);
        backlog.offer(&one, false).unwrap();
        assert_eq!(backlog.offer(&text(0), false), Err(Full));
        assert_eq!(backlog.read(), [one], "it waits alone, but it comes");
    }

    #[test]
    fn who_only_handles_is_never_held_up_by_what_nobody_reads() {
        let mut backlog = Backlog::new();
        backlog.handle();
        for n in 0..3 * MAX_WAITING_MESSAGES {
            backlog.offer(&text(n), true).unwrap();
            assert_eq!(tell_all(&mut backlog), [Message(text(n))]);
        }
        assert!(backlog.read().is_empty());
    }

    #[test]
    fn a_handler_that_does_not_return_holds_messages_up() {
        let mut backlog = Backlog::new();
        backlog.handle();
        backlog.note(Open);
        assert_eq!(backlog.next(), Some(Open));
        for n in 0..MAX_WAITING_MESSAGES {
            backlog.offer(&text(n), true).unwrap();
        }
        assert_eq!(backlog.offer(&text(0), true), Err(Full));
        backlog.told();
        assert_eq!(tell_all(&mut backlog).len(), MAX_WAITING_MESSAGES);
        assert_eq!(backlog.offer(&text(0), true), Ok(()));
    }
}
