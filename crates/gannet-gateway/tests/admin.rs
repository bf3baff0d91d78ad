//! The admin page over real sockets.

mod rig;

use gannet_gateway::Secret;
use gannet_gateway::settings::Settings;
use rig::{Rig, drivers};
use serde_json::{Value, json};

const PASSWORD: &str = "correct horse";

fn rig(driver: gannet::DriverChoice) -> Rig {
    let mut settings = Settings::demo();
    settings.admin.password = Some(Secret::new(PASSWORD));
    Rig::start(driver, settings)
}

fn login(rig: &Rig, fields: &str, password: &str) -> (u16, String) {
    let body = json!({ "password": password }).to_string();
    let (status, head, _) = rig.post("/admin/login", fields, &body);
    (status, head)
}

/// The line `Cookie:` of a login.
fn cookie(rig: &Rig) -> String {
    let (status, head) = login(rig, "", PASSWORD);
    assert_eq!(status, 204, "{head}");
    let set = head.lines().find_map(|line| line.strip_prefix("Set-Cookie: ")).expect("a cookie");
    format!("Cookie: {}\r\n", set.split(';').next().expect("a value"))
}

fn get(rig: &Rig, path: &str, fields: &str) -> (u16, String, String) {
    rig.request(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{fields}\r\n"))
}

fn read(rig: &Rig, path: &str, cookie: &str) -> Value {
    let (status, head, body) = get(rig, path, cookie);
    assert_eq!(status, 200, "{path}: {head} {body}");
    serde_json::from_str(&body).expect("JSON")
}

#[test]
fn the_page_loads_only_its_own_files_and_no_other_page_may_frame_it() {
    let rig = rig(drivers()[0]);
    let (status, head, body) = get(&rig, "/admin", "");
    assert_eq!(status, 200);
    for part in ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"] {
        assert!(head.contains(part), "{head}");
    }
    assert!(!head.contains("unsafe"), "{head}");
    for file in ["/admin/admin.js", "/admin/plot.js", "/admin/admin.css"] {
        assert!(body.contains(file), "{file}");
        assert_eq!(get(&rig, file, "").0, 200, "{file}");
    }
}

#[test]
fn a_login_gives_a_cookie_for_the_server_alone_and_a_wrong_password_none() {
    for driver in drivers() {
        let rig = rig(driver);
        for wrong in ["", "correct", "correct horsf", "CORRECT HORSE"] {
            let (status, head) = login(&rig, "", wrong);
            assert!(status == 403 && !head.contains("Set-Cookie"), "{wrong}: {head}");
        }
        let (status, head) = login(&rig, "Origin: http://localhost\r\n", PASSWORD);
        assert_eq!(status, 204, "{head}");
        assert!(head.contains("Path=/admin; HttpOnly; SameSite=Strict; Max-Age=43200\r\n"), "{head}");
        let mut metrics = String::new();
        rig.gateway.write_metrics(&mut metrics).expect("a text");
        assert!(metrics.contains("gannet_push_admin_logins_total{result=\"refused\"} 4"), "{metrics}");
        assert!(metrics.contains("gannet_push_admin_logins_total{result=\"accepted\"} 1"), "{metrics}");
    }
}

#[test]
fn behind_tls_the_cookie_is_never_sent_without() {
    let rig = rig(drivers()[0]);
    let (_, head) = login(&rig, "X-Forwarded-Proto: https\r\n", PASSWORD);
    assert!(head.contains("; Secure\r\n"), "{head}");
}

#[test]
fn who_guesses_has_to_wait_even_with_the_right_password() {
    let rig = rig(drivers()[0]);
    let statuses: Vec<u16> = (0..5).map(|_| login(&rig, "", "guess").0).collect();
    assert_eq!(statuses, [403; 5]);
    let (status, head) = login(&rig, "", PASSWORD);
    assert_eq!(status, 429, "{head}");
    let wait = head.lines().find_map(|line| line.strip_prefix("Retry-After: ")).expect("a time");
    assert!((1..=6).contains(&wait.parse::<u32>().expect("seconds")), "{wait}");
}

#[test]
fn nothing_is_told_or_done_without_the_cookie_of_a_session() {
    let rig = rig(drivers()[0]);
    let paths = ["live", "channels", "channel?name=demo:a", "clients", "client?id=0"];
    for cookie in
        ["", "Cookie: gannet-admin=\r\n", "Cookie: gannet-admin=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\n"]
    {
        for path in paths {
            assert_eq!(get(&rig, &format!("/admin/api/{path}"), cookie).0, 401, "{path} {cookie}");
        }
        let (status, ..) = rig.post("/admin/api/call/publish", cookie, r#"{"channel":"demo:a","data":1}"#);
        assert_eq!(status, 401);
    }
    assert_eq!(rig.gateway.space().stats().namespaces[0].publications, 0);
}

#[test]
fn a_logout_ends_the_session_on_the_server() {
    let rig = rig(drivers()[0]);
    let cookie = cookie(&rig);
    read(&rig, "/admin/api/live", &cookie);
    let (status, head, _) = rig.post("/admin/logout", &cookie, "{}");
    assert!(status == 204 && head.contains("Max-Age=0"), "{head}");
    assert_eq!(get(&rig, "/admin/api/live", &cookie).0, 401);
}

#[test]
fn a_page_of_somebody_else_can_neither_log_in_nor_change_nor_read_anything() {
    let rig = rig(drivers()[0]);
    let cookie = cookie(&rig);
    for foreign in ["Origin: https://evil.example\r\n", "Origin: null\r\n", "Sec-Fetch-Site: cross-site\r\n"] {
        assert_eq!(login(&rig, foreign, PASSWORD).0, 403, "{foreign}");
        let fields = format!("{cookie}{foreign}");
        for path in ["/admin/api/call/publish", "/admin/logout"] {
            let (status, ..) = rig.post(path, &fields, r#"{"channel":"demo:a","data":1}"#);
            assert_eq!(status, 403, "{path} {foreign}");
        }
        assert_eq!(get(&rig, "/admin/api/live", &fields).0, 403, "{foreign}");
    }
    assert_eq!(rig.gateway.space().stats().namespaces[0].publications, 0);
    read(&rig, "/admin/api/live", &cookie);
}

#[test]
fn channels_and_clients_are_found_and_inspected_on_all_reactors() {
    for driver in drivers() {
        let rig = rig(driver);
        let cookie = cookie(&rig);
        let sockets: Vec<_> = (0..8).map(|_| rig.subscribed("demo:chat")).collect();
        rig.publish("demo:chat", r#""<img src=x onerror=alert(1)>""#);

        let found = read(&rig, "/admin/api/channels?q=chat", &cookie);
        assert_eq!(found["channels"], json!([{ "channel": "demo:chat", "clients": 8 }]));
        assert_eq!(read(&rig, "/admin/api/channels?q=other", &cookie)["channels"], json!([]));
        let channel = read(&rig, "/admin/api/channel?name=demo%3Achat", &cookie);
        assert_eq!(channel["presence"]["clients"], 8);
        assert_eq!(channel["history"]["publications"][0]["text"], r#""<img src=x onerror=alert(1)>""#);

        let clients = read(&rig, "/admin/api/clients", &cookie);
        let clients = clients["clients"].as_array().expect("clients");
        assert_eq!(clients.len(), sockets.len());
        for client in clients {
            let id = client["client"].as_str().expect("an identifier");
            let alone = read(&rig, &format!("/admin/api/clients?q={id}"), &cookie);
            assert_eq!(alone["clients"].as_array().expect("clients").len(), 1);
            let inside = read(&rig, &format!("/admin/api/client?id={id}"), &cookie);
            assert_eq!(inside["list"], json!([{ "channel": "demo:chat", "server_side": false }]));
            assert_eq!((&inside["transport"], &inside["format"]), (&json!("websocket"), &json!("json")));
            assert!(inside["since_s"].as_u64().expect("a time") > 1_700_000_000);
        }
        let live = read(&rig, "/admin/api/live", &cookie);
        assert_eq!(live["transports"], json!([{ "transport": "websocket", "format": "json", "clients": 8 }]));
    }
}

#[test]
fn the_page_publishes_and_disconnects_and_calls_nothing_else() {
    let rig = rig(drivers()[0]);
    let cookie = cookie(&rig);
    let mut socket = rig.subscribed("demo:chat");
    let call = |method: &str, body: &str| {
        let (status, _, body) = rig.post(&format!("/admin/api/call/{method}"), &cookie, body);
        (status, body)
    };
    let (status, body) = call("publish", r#"{"channel":"demo:chat","data":{"text":"hello"}}"#);
    assert!(status == 200 && body.contains("\"offset\":1"), "{body}");
    loop {
        let push = socket.push();
        if push["pub"].is_object() {
            assert_eq!(push["pub"]["data"]["text"], "hello");
            break;
        }
    }
    assert_eq!(call("publish", "{").0, 400);
    assert!(call("publish", r#"{"channel":"nowhere:a","data":1}"#).1.contains("\"code\":102"));
    for other in ["batch", "subscribe", "refresh", "info", "x"] {
        assert_eq!(call(other, "{}").0, 404, "{other}");
    }
    let clients = read(&rig, "/admin/api/clients", &cookie);
    let client = clients["clients"][0]["client"].as_str().expect("an identifier");
    let why = json!({ "client": client, "disconnect": { "code": 3503, "reason": "force disconnect" } });
    assert_eq!(call("disconnect", &why.to_string()).0, 200);
    assert_eq!(socket.closed().0, 3503);
}

#[test]
fn without_a_password_the_start_makes_one() {
    let rig = Rig::demo(drivers()[0]);
    let made = rig.gateway.made_admin_password().expect("one was made").reveal().to_owned();
    assert_eq!(login(&rig, "", &made).0, 204);
    assert_eq!(login(&rig, "", "").0, 403);
}
