//! What an answer of the server that is an error means to its operator.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::failure::Failure;

#[derive(Deserialize)]
struct Problem {
    error: Said,
}

#[derive(Deserialize)]
struct Said {
    code: String,
    message: String,
    #[serde(default)]
    details: Details,
}

/// What is said of a configuration that cannot be used.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Details {
    texts: Vec<String>,
    problems: Value,
}

/// Whether the server has as many clients as it takes, and has done nothing.
pub(super) fn is_crowded(body: &Value) -> bool {
    body["error"]["code"] == "crowded"
}

/// An error of the server, in its words.
pub(super) fn refusal(status: u16, value: Value) -> Failure {
    match serde_json::from_value::<Problem>(value) {
        Ok(Problem { error: Said { code, details: Details { texts, problems }, .. } })
            if code == "invalid" && !texts.is_empty() =>
        {
            let clean = |text: String| text.replace(|letter: char| letter.is_control() && letter != '\n', " ");
            let texts = texts.into_iter().map(clean).collect();
            Failure::Unchanged { texts, details: json!({ "ok": false, "problems": problems }) }
        }
        Ok(Problem { error: Said { code, .. } }) if code == "unauthorized" => Failure::Call(
            "the server refuses this token, or that there is none; set GANNET_ADMIN_TOKEN to that of the server"
                .to_owned(),
        ),
        Ok(Problem { error: Said { message, .. } }) => Failure::Refused(message),
        Err(_) => Failure::Call(format!("the server has answered with status {status} and no reason")),
    }
}
