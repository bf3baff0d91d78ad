//! `gannet call`: calls a method of the server API of a push gateway, and prints the result.

use std::io::Read as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use gannet_gateway::{Endpoint, Outgoing, OutgoingError, Response, Trust};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::failure::Failure;
use crate::output;
use crate::services::push::{Secrets, secrets};
use crate::token::json;
use crate::units::{Deadline, deadline};

/// The largest response: the presence of a large channel has some MiB.
const LARGEST_BYTES: usize = 256 << 20;

/// The largest request from standard input.
const LARGEST_REQUEST_BYTES: u64 = 64 << 20;

/// Calls a method of the server API of a push gateway, and prints the result as JSON.
///
/// Exits with 0 where there is a result, with 3 where the gateway answers with an error, with 1 where there is no answer, and
/// with 2 for wrong usage.
///
/// gannet call publish '{"channel": "demo:lobby", "data": {"text": "hello"}}'
#[derive(Args, Clone, Debug)]
pub(crate) struct CallOptions {
    /// Method, as publish, broadcast, presence, history, channels or info
    #[arg(value_parser = method)]
    method: String,

    /// Parameters as JSON; - reads them from standard input
    #[arg(value_name = "JSON", default_value = "{}")]
    parameters: String,

    /// Address of the gateway
    #[arg(long, value_name = "URL", value_parser = endpoint, default_value = "http://127.0.0.1:8000")]
    url: Endpoint,

    /// Time for the answer
    #[arg(long, value_name = "TIME", value_parser = deadline, default_value = "10s")]
    timeout: Deadline,

    /// CAs to trust instead of the system's where the URL is of https, as PEM
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,

    /// Key of the server API; set it in the environment, where other users cannot see it
    #[arg(long, value_name = "KEY", value_parser = secrets, env = "GANNET_PUSH_API_KEY", hide_env_values = true)]
    push_api_key: Option<Secrets>,
}

fn endpoint(text: &str) -> Result<Endpoint, String> {
    text.parse()
}

fn method(text: &str) -> Result<String, String> {
    let is_name = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    if is_name { Ok(text.to_owned()) } else { Err("a method is a word in small letters, as publish".to_owned()) }
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    error: Option<Problem>,
}

#[derive(Deserialize)]
struct Problem {
    code: u32,
    #[serde(default)]
    message: String,
}

/// Calls, and prints what comes of it.
///
/// # Errors
///
/// There is no answer, or it is an error.
pub(crate) fn call(options: &CallOptions) -> Result<(), Failure> {
    let parameters = parameters(&options.parameters)?;
    let usage = |what: String| Failure::Usage(format!("{what}; try 'gannet call --help'"));
    let endpoint = options.url.join(&format!("api/{}", options.method)).map_err(usage)?;
    let trust = options.tls_ca.as_deref().map(Trust::file).transpose().map_err(usage)?.unwrap_or_default();
    let timeout = options.timeout.0.unwrap_or(Duration::from_secs(24 * 60 * 60));
    let client = Outgoing::new(&[&endpoint], &trust, timeout, LARGEST_BYTES, 1);
    let key = options.push_api_key.iter().flat_map(|keys| &keys.0).find(|key| !key.is_empty());
    if key.is_some_and(|key| !key.reveal().bytes().all(|byte| (b' '..=b'~').contains(&byte))) {
        return Err(usage("the key has characters that no header can have".to_owned()));
    }
    let header = key.map(|key| ("x-api-key", key.reveal()));
    let response =
        client.post(&endpoint, header, parameters.as_bytes()).map_err(|error| unanswered(&endpoint, &error))?;
    print(&endpoint, &response)
}

fn unanswered(endpoint: &Endpoint, error: &OutgoingError) -> Failure {
    let what = match error {
        OutgoingError::Unreachable(_) => "; is the gateway running there? Name another address with --url",
        _ => "",
    };
    Failure::Call(format!("{endpoint} has not answered: {error}{what}"))
}

fn print(endpoint: &Endpoint, response: &Response) -> Result<(), Failure> {
    let text = std::str::from_utf8(&response.body).unwrap_or_default();
    let answer = match response.status {
        200 => serde_json::from_str::<Answer<'_>>(text),
        401 | 403 => {
            return Err(Failure::Call(format!(
                "{endpoint} refuses this key, or that there is none; set GANNET_PUSH_API_KEY to that of the gateway"
            )));
        }
        status => {
            let said: String = text.trim().chars().take(200).collect();
            let said = if said.is_empty() { said } else { format!(": {said}") };
            return Err(Failure::Call(format!("{endpoint} has answered with status {status}{said}")));
        }
    };
    match answer {
        Ok(Answer { error: Some(Problem { code, message }), .. }) => {
            Err(Failure::Refused(format!("{endpoint} has answered with error {code}: {message}")))
        }
        Ok(Answer { result: Some(result), .. }) => output::print(&format!("{}\n", result.get())),
        // A batch has its replies where others have their result.
        Ok(_) => output::print(&format!("{}\n", text.trim())),
        Err(_) => Err(Failure::Call(format!("{endpoint} has not answered with JSON; is it a gateway?"))),
    }
}

fn parameters(given: &str) -> Result<String, Failure> {
    let text = if given == "-" {
        let mut text = String::new();
        let read = std::io::stdin().lock().take(LARGEST_REQUEST_BYTES).read_to_string(&mut text);
        read.map_err(|error| Failure::Usage(format!("standard input cannot be read: {error}")))?;
        text
    } else {
        given.to_owned()
    };
    json(&text).map_err(|error| Failure::Usage(format!("the parameters are {error}; try 'gannet call --help'")))?;
    Ok(text)
}
