//! The server API as its callers know it: where results and errors are, and with which status.

mod rig;

use rig::{Rig, drivers};
use serde_json::{Value, json};

#[test]
fn a_batch_is_answered_with_replies_at_the_top() {
    for driver in drivers() {
        let rig = Rig::demo(driver);
        let body = r#"{"commands":[
            {"publish":{"channel":"demo:a","data":null}},
            {"publish":{"channel":"nowhere:a","data":1}},
            {"presence_stats":{"channel":"demo:a"}},
            {"publish":null}, null, {"batch":{"commands":[]}}
        ]}"#;
        let answer = rig.api("batch", body);
        let replies = answer["replies"].as_array().expect("replies");
        assert!(answer.get("result").is_none() && replies.len() == 6, "{answer}");
        assert_eq!(replies[0]["publish"]["offset"], 1, "{answer}");
        assert_eq!(replies[1]["error"]["code"], 102, "{answer}");
        assert_eq!(replies[2]["presence_stats"], json!({ "num_clients": 0, "num_users": 0 }), "{answer}");
        assert!(replies[3..].iter().all(|reply| reply["error"]["code"] == 107), "{answer}");
    }
}

#[test]
fn null_is_published_as_other_values_are_and_no_data_is_not() {
    for driver in drivers() {
        let rig = Rig::demo(driver);
        let mut socket = rig.subscribed("demo:null");
        rig.publish("demo:null", "null");
        let push = socket.push();
        assert_eq!(push["pub"], json!({ "data": null, "offset": 1 }), "{push}");
        let refused = rig.api("publish", r#"{"channel":"demo:null"}"#);
        assert_eq!(refused["error"]["code"], 107, "{refused}");
    }
}

#[test]
fn an_unknown_method_and_errors_by_status_are_told_as_callers_expect() {
    for driver in drivers() {
        let rig = Rig::demo(driver);
        let (status, _, body) = rig.post("/api/nothing", "", "{}");
        let told: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!((status, &told["error"]["code"]), (404, &json!(104)), "{body}");
        let by_status = "X-Centrifugo-Error-Mode: transport\r\n";
        for (method, body, status, code) in [
            ("publish", r#"{"channel":"nowhere:x","data":1}"#, 404, 102),
            ("publish", r#"{"channel":"demo:x"}"#, 400, 107),
            ("nothing", "{}", 404, 104),
        ] {
            let (answered, _, text) = rig.post(&format!("/api/{method}"), by_status, body);
            let told: Value = serde_json::from_str(&text).expect("JSON");
            assert_eq!((answered, &told["code"]), (status, &json!(code)), "{method} {body}: {text}");
        }
    }
}

#[test]
fn a_subscription_that_recovers_has_a_position() {
    for driver in drivers() {
        let rig = Rig::demo(driver);
        let reply = rig.connected().ask(r#""subscribe":{"channel":"demo:positioned"}"#);
        let told = &reply["subscribe"];
        assert!(told["recoverable"] == true && told["positioned"] == true, "{reply}");
    }
}
