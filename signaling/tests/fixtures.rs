//! The protocol's fixtures, which the web client's tests read as well: every valid message survives
//! a round trip, every invalid one is refused with its code.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use duet_signaling::message::{ClientMessage, ErrorCode, ParseError, ServerMessage};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Valid {
    what: String,
    message: Value,
    means: Option<Value>,
}

#[derive(Deserialize)]
struct Invalid {
    what: String,
    text: String,
    code: Value,
}

fn check_valid<M>(
    fixtures: &str,
    parse: impl Fn(&str) -> Result<M, ParseError>,
    to_json: impl Fn(&M) -> String,
) {
    let fixtures: Vec<Valid> = serde_json::from_str(fixtures).unwrap();
    assert!(fixtures.len() > 10);
    for Valid {
        what,
        message,
        means,
    } in fixtures
    {
        let parsed = parse(&message.to_string()).unwrap_or_else(|error| panic!("{what}: {error}"));
        let written: Value = serde_json::from_str(&to_json(&parsed)).unwrap();
        assert_eq!(written, means.unwrap_or(message), "{what}");
    }
}

fn check_invalid<M: std::fmt::Debug>(
    fixtures: &str,
    parse: impl Fn(&str) -> Result<M, ParseError>,
) {
    let fixtures: Vec<Invalid> = serde_json::from_str(fixtures).unwrap();
    assert!(fixtures.len() > 10);
    for Invalid { what, text, code } in fixtures {
        let error = parse(&text).expect_err(&what);
        assert_eq!(serde_json::to_value(error.code()).unwrap(), code, "{what}");
        assert!(error.to_string().len() <= 300, "{what}: {error}");
    }
}

#[test]
fn what_clients_say_survives_a_round_trip() {
    check_valid(
        include_str!("../fixtures/client-valid.json"),
        ClientMessage::parse,
        ClientMessage::to_json,
    );
}

#[test]
fn what_the_server_says_survives_a_round_trip() {
    check_valid(
        include_str!("../fixtures/server-valid.json"),
        ServerMessage::parse,
        ServerMessage::to_json,
    );
}

#[test]
fn bad_client_messages_are_refused_with_their_code() {
    check_invalid(
        include_str!("../fixtures/client-invalid.json"),
        ClientMessage::parse,
    );
}

#[test]
fn bad_server_messages_are_refused_with_their_code() {
    check_invalid(
        include_str!("../fixtures/server-invalid.json"),
        ServerMessage::parse,
    );
}

#[test]
fn deep_nesting_is_refused_without_recursion_to_match() {
    for text in [
        "[".repeat(60_000),
        "{\"type\":".repeat(8_000),
        format!("{{\"type\":\"leave\",\"x\":{}", "[".repeat(60_000)),
    ] {
        assert!(matches!(
            ClientMessage::parse(&text),
            Err(ParseError::Bad(_))
        ));
    }
}

#[test]
fn every_code_reads_as_it_is_written() {
    for code in ErrorCode::ALL {
        assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
    }
}
