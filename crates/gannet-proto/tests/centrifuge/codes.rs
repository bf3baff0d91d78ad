//! The numbers that say why.

use gannet_proto::centrifuge::{
    Disconnect, DisconnectCode, Error, ErrorCode, Unsubscribe, UnsubscribeCode, reconnects,
};

#[test]
fn codes_have_the_texts_that_clients_know() {
    for (code, text, temporary) in [
        (100, "internal server error", true),
        (103, "permission denied", false),
        (105, "already subscribed", false),
        (109, "token expired", false),
        (111, "too many requests", true),
        (112, "unrecoverable position", false),
    ] {
        let error = Error::from(ErrorCode::from_number(code).expect("the protocol has it"));
        assert_eq!((error.code, &*error.message, error.temporary), (code, text, temporary));
    }
    for (code, text, reconnect) in [
        (3001, "shutdown", true),
        (3012, "no pong", true),
        (3014, "state invalidated", true),
        (3500, "invalid token", false),
        (3501, "bad request", false),
        (3502, "stale", false),
        (3509, "too many errors", false),
    ] {
        let disconnect = Disconnect::from(DisconnectCode::from_number(code).expect("the protocol has it"));
        assert_eq!((disconnect.code, &*disconnect.reason, disconnect.reconnect), (code, text, reconnect));
    }
    for (code, text, again) in [(2000, "server unsubscribe", false), (2500, "insufficient state", true)] {
        let known = UnsubscribeCode::from_number(code).expect("the protocol has it");
        assert_eq!(Unsubscribe::from(known), Unsubscribe { code, reason: text.into() });
        assert_eq!(known.resubscribes(), again);
    }
}

#[test]
fn clients_come_back_below_3500_from_4000_to_4499_and_from_5000_on() {
    for (number, again) in [
        (1006, true),
        (3000, true),
        (3499, true),
        (3500, false),
        (3999, false),
        (4000, true),
        (4499, true),
        (4500, false),
        (4999, false),
        (5000, true),
    ] {
        assert_eq!(reconnects(number), again, "{number}");
    }
}

#[test]
fn every_code_is_found_by_its_number_and_its_text_fits_a_close_frame() {
    assert_eq!((ErrorCode::ALL.len(), UnsubscribeCode::ALL.len(), DisconnectCode::ALL.len()), (13, 4, 22));
    for &code in ErrorCode::ALL {
        assert_eq!(ErrorCode::from_number(code.number()), Some(code));
    }
    for &code in UnsubscribeCode::ALL {
        assert_eq!(UnsubscribeCode::from_number(code.number()), Some(code));
    }
    for &code in DisconnectCode::ALL {
        assert_eq!(DisconnectCode::from_number(code.number()), Some(code));
        assert!(code.text().len() <= 32);
    }
    assert_eq!(DisconnectCode::from_number(3002), None);
}
