//! `gannet token` and `gannet call`: what they print, and how they fail.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::SystemTime;

use gannet_gateway::Secret;
use gannet_gateway::token::{ConnectionClaims, Key, SubscriptionClaims, TokenError, Tokens};
use gannet_testing::free_ports;

use crate::server::{Server, gannet};

const SECRET: &str = "a secret of the tests";

fn run(mut command: Command) -> Output {
    command.stdin(Stdio::null()).output().expect("the binary runs")
}

fn with_secret(arguments: &[&str]) -> Output {
    let mut command = gannet(arguments);
    command.env("GANNET_PUSH_TOKEN_SECRET", SECRET);
    run(command)
}

/// What was printed, where all is well.
fn printed(output: &Output) -> String {
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

/// What was said on standard error: one line, and nothing elsewhere.
fn refused(output: &Output, status: i32) -> String {
    let said = String::from_utf8(output.stderr.clone()).expect("UTF-8");
    assert_eq!(output.status.code(), Some(status), "{said}");
    assert!(output.stdout.is_empty() && said.lines().count() == 1 && said.starts_with("gannet: "), "{output:?}");
    said
}

fn tokens() -> Tokens {
    Tokens::new(vec![Key::secret(&Secret::new(SECRET)).expect("a secret")])
}

/// This many seconds from now.
#[expect(clippy::disallowed_methods, reason = "the binary under test looks at the same clock")]
fn at(seconds: u64) -> gannet_channels::Time {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    gannet_channels::Time(u64::try_from(now.as_millis()).expect("before the end of time") + 1_000 * seconds)
}

fn connection(token: &str, seconds: u64) -> Result<ConnectionClaims, TokenError> {
    tokens().connection(token.trim_end(), at(seconds))
}

fn subscription(token: &str) -> Result<SubscriptionClaims, TokenError> {
    tokens().subscription(token.trim_end(), at(0))
}

#[test]
fn a_token_is_printed_alone_and_lets_its_user_connect_until_it_expires() {
    let token = printed(&with_secret(&["token", "--user", "ann", "--expires", "1h", "--subscribe", "news"]));
    assert_eq!(token.lines().count(), 1);
    let claims = connection(&token, 3_500).expect("valid");
    assert_eq!((&*claims.user, &*claims.subs[0].channel), ("ann", "news"));
    assert_eq!(connection(&token, 3_700), Err(TokenError::Expired));
    let token = printed(&with_secret(&["token", "--user", "", "--expires", "off"]));
    assert_eq!(connection(&token, 1 << 32).expect("valid").expire_at, None);
}

#[test]
fn a_token_for_a_channel_has_the_info_of_its_user() {
    let token = printed(&with_secret(&["token", "--user", "ann", "--channel", "chat:1", "--info", r#"{"n": 1}"#]));
    let claims = subscription(&token).expect("valid");
    assert_eq!((&*claims.user, &*claims.channel), ("ann", "chat:1"));
    assert_eq!(claims.info.as_deref(), Some(&br#"{"n": 1}"#[..]));
    assert_eq!(connection(&token, 0), Err(TokenError::Kind));
}

#[test]
fn a_token_that_cannot_be_made_is_refused_with_one_line_that_shows_no_secret() {
    let line = refused(&run(gannet(&["token", "--user", "ann"])), 2);
    assert!(line.contains("GANNET_PUSH_TOKEN_SECRET"), "{line}");
    let line = refused(&run(gannet(&["token", "--user", "ann", "--push-token-secret", "hunter2"])), 2);
    assert!(line.contains("has 7 bytes") && !line.contains("hunter2"), "{line}");
    for (arguments, said) in [
        (&["token"][..], "--user <NAME>"),
        (&["token", "--user", "ann", "--expires", "1"], "needs a unit"),
        (&["token", "--user", "ann", "--info", "{"], "not JSON"),
        (&["token", "--user", "ann", "--channel", ""], "--channel is empty"),
        (&["token", "--user", "ann", "--channel", "a", "--subscribe", "b"], "cannot be used with"),
    ] {
        let line = refused(&with_secret(arguments), 2);
        assert!(line.contains(said) && !line.contains(SECRET), "{arguments:?}: {line}");
    }
}

/// A server that answers one request with these bytes, and tells what it got.
fn answering(answer: String) -> (SocketAddr, Receiver<(String, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut reader = BufReader::new(stream.try_clone().expect("a second end"));
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).expect("a line");
            if line.trim_end().is_empty() {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
            head += &line.to_ascii_lowercase();
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).expect("a body");
        tell.send((head, String::from_utf8(body).expect("UTF-8"))).expect("the test waits");
        stream.write_all(answer.as_bytes()).expect("written");
    });
    (address, told)
}

fn response(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

fn call(arguments: &[&str], answer: String) -> (Output, (String, String)) {
    let (address, told) = answering(answer);
    let url = format!("http://{address}");
    let mut command = gannet(&[&["call"], arguments, &["--url", &*url]].concat());
    command.env("GANNET_PUSH_API_KEY", "the key");
    let output = run(command);
    (output, told.recv().expect("a request"))
}

#[test]
fn a_call_sends_the_parameters_with_the_key_and_prints_the_result_alone() {
    let parameters = r#"{"channel": "demo:a", "data": 1}"#;
    let (output, (head, body)) =
        call(&["publish", parameters], response("200 OK", r#"{"result":{"offset":1,"epoch":"x"}}"#));
    assert_eq!(printed(&output), "{\"offset\":1,\"epoch\":\"x\"}\n");
    assert!(head.starts_with("post /api/publish http/1.1") && head.contains("x-api-key: the key"), "{head}");
    assert!(head.contains("content-type: application/json"), "{head}");
    assert_eq!(body, parameters);
    let (output, (_, body)) = call(&["info"], response("200 OK", r#"{"replies":[{}]}"#));
    assert_eq!((&*printed(&output), &*body), ("{\"replies\":[{}]}\n", "{}"));
}

#[test]
fn what_a_call_is_answered_with_decides_its_status() {
    for (answer, status, said) in [
        (response("200 OK", r#"{"error":{"code":102,"message":"unknown channel"}}"#), 3, "error 102: unknown channel"),
        (response("401 Unauthorized", ""), 1, "set GANNET_PUSH_API_KEY"),
        (response("400 Bad Request", "not JSON\nat all"), 1, "status 400: not JSON"),
        (response("200 OK", "<html>"), 1, "is it a gateway?"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{".to_owned(), 1, "ended before the response did"),
    ] {
        let (output, _) = call(&["info"], answer);
        let line = refused(&output, status);
        assert!(line.contains(said) && !line.contains("the key"), "{line}");
    }
    let free = free_ports(1)[0];
    let line = refused(&run(gannet(&["call", "info", "--url", &format!("http://{free}")])), 1);
    assert!(line.contains("is the gateway running there?"), "{line}");
}

#[test]
fn a_call_that_is_wrong_is_refused_before_anything_is_sent() {
    for (arguments, said) in [
        (&["call"][..], "<METHOD>"),
        (&["call", "Publish!"], "a word in small letters"),
        (&["call", "publish", "{"], "the parameters are not JSON"),
        (&["call", "publish", "{}", "--url", "127.0.0.1:8000"], "http://host:port"),
        (&["call", "publish", "{}", "--push-api-key", "a\u{e9}"], "no header can have"),
        (&["call", "publish", "{}", "--tls-ca", "/nowhere/ca.pem"], "/nowhere/ca.pem"),
    ] {
        let line = refused(&run(gannet(arguments)), 2);
        assert!(line.contains(said), "{arguments:?}: {line}");
    }
}

#[test]
fn the_parameters_of_a_call_may_come_from_standard_input() {
    let (address, told) = answering(response("200 OK", r#"{"result":{}}"#));
    let mut command = gannet(&["call", "publish", "-", "--url", &format!("http://{address}")]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary starts");
    child.stdin.take().expect("piped").write_all(b"{\"channel\": \"a\"}").expect("written");
    assert_eq!(printed(&child.wait_with_output().expect("ended")), "{}\n");
    assert_eq!(told.recv().expect("a request").1, "{\"channel\": \"a\"}");
}

#[test]
fn a_server_whose_api_is_on_its_own_answers_calls_there_and_404_to_calls_where_clients_connect() {
    let mut command = gannet(&["serve", "--reactors", "1", "--push-api", "own"]);
    command.args(["--listen", "push=tcp://127.0.0.1:0", "--listen", "push-api=tcp://127.0.0.1:0"]);
    let server = Server::run(command).unwrap_or_else(|ended| panic!("{ended:#?}"));
    let call = |service: &str| {
        let url = server.url(service).replace("tcp://", "http://");
        run(gannet(&["call", "info", "--url", &*url]))
    };
    assert!(printed(&call("push-api")).contains("num_clients"));
    let line = refused(&call("push"), 1);
    assert!(line.contains("404"), "{line}");
}

/// Secrets come by the environment; the log has everything.
#[test]
fn a_gateway_shows_no_secret_in_its_log_its_banner_or_its_metrics() {
    let secrets = ["the-key-of-the-api", "the-secret-of-tokens", "the-password-of-admin", "the-query-of-the-url"];
    let [key, secret, password, query] = secrets;
    // Nobody is there: the application is down.
    let application = free_ports(1)[0];
    let mut command = gannet(&["serve", "--reactors", "1", "--log", "json", "--log-level", "trace"]);
    command.args(["--listen", "push=tcp://127.0.0.1:0", "--listen", "http=tcp://127.0.0.1:0"]);
    command.args(["--push-namespace", "chat:publish_proxy_enabled"]);
    command.env("GANNET_PUSH_PROXY", format!("publish=http://{application}/hook?key={query}"));
    command.env("GANNET_PUSH_API_KEY", key).env("GANNET_PUSH_TOKEN_SECRET", secret);
    command.env("GANNET_PUSH_ADMIN_PASSWORD", password);
    let server = Server::run(command).unwrap_or_else(|ended| panic!("{ended:#?}"));
    let url = server.url("push").replace("tcp://", "http://");

    let call = |key: &str| {
        let mut command = gannet(&["call", "info", "--url", &*url]);
        command.env("GANNET_PUSH_API_KEY", key);
        run(command)
    };
    printed(&call(key));
    let line = refused(&call("the-wrong-key"), 1);
    assert!(line.contains("refuses this key"), "{line}");
    let token = printed(&with_secret(&["token", "--user", "ann"]));
    let mut stream = server.connect("push");
    let request = format!(
        "GET /connection/uni_sse?cf_connect=%7B%22token%22%3A%22{}%22%7D HTTP/1.1\r\nhost: x\r\n\r\n",
        token.trim_end()
    );
    stream.write_all(request.as_bytes()).expect("written");
    let mut answer = [0; 16];
    stream.read_exact(&mut answer).expect("an answer");
    let metrics = page(&mut server.connect("http"));
    assert!(metrics.contains("gannet_push_tokens_total{result=\"signature\"} 1"), "{metrics}");

    let banner = server.banner().join("\n");
    let ended = server.stop();
    assert!(ended.stderr.iter().any(|line| line.contains("shutting down")), "it logs: {ended:#?}");
    let log = ended.stderr.join("\n");
    for hidden in secrets.iter().chain(&["the-wrong-key", token.trim_end()]) {
        for (place, text) in [("banner", &banner), ("log", &log), ("metrics", &metrics)] {
            assert!(!text.contains(hidden), "{hidden} is in the {place}: {text}");
        }
    }
}

/// The metrics.
fn page(stream: &mut crate::server::Stream) -> String {
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").expect("written");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("a page");
    text
}
