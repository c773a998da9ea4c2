//! The wish for a relayed address of IPv6
//! ([RFC 8656, section 18.8](https://www.rfc-editor.org/rfc/rfc8656#section-18.8)), which the agent cannot make
//! itself: it asks for an address, and the attribute that says of which family is put into that.
//!
//! One pair of addresses has one allocation, so there is a second one of the same server, by a way of its own.
//! ADDITIONAL-ADDRESS-FAMILY would ask for both at once; the agent reads one address of an answer.

use rtc::stun::attributes::{
    ATTR_FINGERPRINT, ATTR_MESSAGE_INTEGRITY, ATTR_REALM, ATTR_USERNAME, AttrType,
};
use rtc::stun::fingerprint::FINGERPRINT;
use rtc::stun::integrity::MessageIntegrity;
use rtc::stun::message::{Message, Setter};
use rtc::turn::proto::reqfamily::REQUESTED_FAMILY_IPV6;

/// Of a relayed address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    /// What a server grants who names none.
    V4,
    V6,
}

/// The agent's request for a relayed address as one of IPv6, signed anew with `password`. `None` for what is no
/// message, or cannot be signed.
pub(super) fn of_ipv6(request: &[u8], password: &str) -> Option<Vec<u8>> {
    let mut asked = Message::new();
    asked.raw = request.to_vec();
    asked.decode().ok()?;
    let mut wish = Message::new();
    wish.build(&[Box::new(asked.transaction_id), Box::new(asked.typ)])
        .ok()?;
    for attribute in &asked.attributes.0 {
        if ![ATTR_MESSAGE_INTEGRITY, ATTR_FINGERPRINT].contains(&attribute.typ) {
            wish.add(attribute.typ, &attribute.value);
        }
    }
    REQUESTED_FAMILY_IPV6.add_to(&mut wish).ok()?;
    if asked.contains(ATTR_MESSAGE_INTEGRITY) {
        let text = |of: AttrType| String::from_utf8(asked.get(of).ok()?).ok();
        let (user, realm) = (text(ATTR_USERNAME)?, text(ATTR_REALM)?);
        let provider = rtc::crypto::default_provider().ok()?;
        let (password, crypto) = (password.to_owned(), provider.crypto());
        let signed = MessageIntegrity::new_long_term_integrity_with_provider;
        let signature = signed(user, realm, password, crypto).ok()?;
        signature.add_to(&mut wish).ok()?;
    }
    FINGERPRINT.add_to(&mut wish).ok()?;
    Some(wish.raw)
}

/// Who asks in a request.
pub(super) fn user(request: &[u8]) -> Option<String> {
    let mut asked = Message::new();
    asked.raw = request.to_vec();
    asked.decode().ok()?;
    String::from_utf8(asked.get(ATTR_USERNAME).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::super::envelope::Stun;
    use super::*;
    use rtc::stun::message::{CLASS_REQUEST, Getter, METHOD_ALLOCATE, MessageType, TransactionId};
    use rtc::stun::textattrs::TextAttribute;

    fn request(signed_with: Option<&str>) -> Vec<u8> {
        let provider = rtc::crypto::default_provider().expect("a provider");
        let mut request = Message::new();
        let mut parts: Vec<Box<dyn Setter + '_>> = vec![
            Box::new(TransactionId([7; 12])),
            Box::new(MessageType::new(METHOD_ALLOCATE, CLASS_REQUEST)),
        ];
        if let Some(password) = signed_with {
            let text = |of, text: &str| Box::new(TextAttribute::new(of, text.to_owned()));
            parts.push(text(ATTR_USERNAME, "ann"));
            parts.push(text(ATTR_REALM, "duet"));
            parts.push(Box::new(
                MessageIntegrity::new_long_term_integrity_with_provider(
                    "ann".into(),
                    "duet".into(),
                    password.into(),
                    provider.crypto(),
                )
                .expect("a key"),
            ));
        }
        parts.push(Box::new(FINGERPRINT));
        request.build(&parts).expect("a request");
        request.raw
    }

    #[test]
    fn a_wish_says_its_family_and_is_signed_with_it() {
        let provider = rtc::crypto::default_provider().expect("a provider");
        let asked = request(Some("secret"));
        assert_eq!(user(&asked).as_deref(), Some("ann"));
        let mut wish = Message::new();
        wish.raw = of_ipv6(&asked, "secret").expect("a wish");
        wish.decode().expect("a message");
        assert_eq!(wish.transaction_id, TransactionId([7; 12]));
        let mut family = rtc::turn::proto::reqfamily::RequestedAddressFamily::default();
        family.get_from(&wish).expect("a family");
        assert_eq!(family, REQUESTED_FAMILY_IPV6);
        FINGERPRINT.check(&wish).expect("a fingerprint");
        let key = |password: &str| {
            let (user, realm) = ("ann".to_owned(), "duet".to_owned());
            let crypto = provider.crypto();
            MessageIntegrity::long_term_integrity_key(user, realm, password.to_owned(), crypto)
        };
        let mut checks = |password: &str| {
            let key = key(password).expect("a key");
            MessageIntegrity::check(&mut wish, &key, provider.crypto()).is_ok()
        };
        assert!(checks("secret") && !checks("guessed"));
    }

    #[test]
    fn who_asks_without_a_name_is_not_signed_for_and_what_is_no_message_is_none() {
        let wish = of_ipv6(&request(None), "secret").expect("a wish");
        let read = Stun::read(&wish).expect("a message");
        assert!(read.is_request() && !read.has_user());
        assert_eq!(user(&wish), None);
        let asked = request(Some("secret"));
        for len in 0..asked.len() {
            assert_eq!(of_ipv6(&asked[..len], "secret"), None, "{len}");
        }
    }
}
