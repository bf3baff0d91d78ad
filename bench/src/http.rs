//! The HTTP server and nginx as subjects.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use gannet::DriverChoice;
use gannet_http::{HttpService, Router, Routes};

use crate::engine;
use crate::home;
use crate::machine;
use crate::socket::{self, Blocking};
use crate::subject::Ready;
use crate::tls::{self, Key, Pem};

/// The body of the response to `GET /`.
pub const BODY: &str = "hello, world\n";
/// Routes with parameters, where there are many.
pub const ROUTES: usize = 300;

/// The text in nginx's log when its listeners are open.
pub const NGINX_READY: &str = "event method";
const NGINX: &str = "nginx";

/// `GET /` on the server.
pub fn home(port: u16, ready: Ready, driver: DriverChoice) -> io::Result<()> {
    let routes = home_routes()?;
    engine::serve(port, ready, driver, move || HttpService::new(&routes))
}

/// `GET /`.
pub fn home_routes() -> io::Result<Routes> {
    Router::new().get("/", |cx| cx.text(BODY)).build().map_err(io::Error::other)
}

/// Serves this many routes with two parameters, one of which is in the response.
pub fn parameters(port: u16, ready: Ready, driver: DriverChoice, routes: usize) -> io::Result<()> {
    let mut router = Router::new();
    for route in 0..routes {
        router = router.get(&path(route, "{user}", "{page}"), |cx| {
            let user = cx.param("user");
            cx.text("hello, ");
            cx.text(user);
            cx.text("\n");
        });
    }
    let routes = router.build().map_err(io::Error::other)?;
    engine::serve(port, ready, driver, move || HttpService::new(&routes))
}

/// A path of a route by its number, with what is in the place of its parameters: three for each of many resources.
pub fn path(route: usize, user: &str, page: &str) -> String {
    let part = ["posts", "files", "likes"][route % 3];
    format!("/v1/resource-{:03}/{user}/{part}/{page}", route / 3)
}

/// Becomes nginx on one thread that answers `GET /` by itself, without a file and without a log of requests. The
/// process stays the same, so that it is pinned and ends as every other subject.
///
/// `_ready` stays unsaid, since its own log says when it listens.
pub fn nginx(port: u16, _ready: Ready) -> io::Result<()> {
    become_nginx(port, None)
}

/// Becomes an nginx that serves over TLS, with a certificate and its key.
pub fn nginx_tls(port: u16, _ready: Ready) -> io::Result<()> {
    become_nginx(port, Some(tls::pem(Key::Ecdsa)?))
}

fn become_nginx(port: u16, certificate: Option<Pem>) -> io::Result<()> {
    // It would try for seconds to have its port and end like after any other failure; here the parent learns of it.
    drop(socket::listen(port, Blocking::Yes)?);
    let home = home::make()?;
    let config = home.join("nginx.conf");
    if let Some(Pem { certificate, key }) = &certificate {
        fs::write(home.join("certificate.pem"), certificate)?;
        fs::write(home.join("key.pem"), key)?;
    }
    fs::write(&config, nginx_config(port, certificate.is_some()))?;
    let mut command = Command::new(NGINX);
    // Its log is read by the parent until it says that it listens.
    command.arg("-e").arg("stderr").arg("-p").arg(&home).arg("-c").arg(&config).stderr(Stdio::from(io::stdout()));
    Err(command.exec())
}

fn nginx_config(port: u16, is_tls: bool) -> String {
    let (ssl, certificate) = match is_tls {
        true => {
            (" ssl", "ssl_certificate certificate.pem; ssl_certificate_key key.pem; ssl_protocols TLSv1.2 TLSv1.3;")
        }
        false => ("", ""),
    };
    // What is written at a level under `notice` would be more than a start.
    let body = BODY.replace('\n', "\\n");
    format!(
        r#"daemon off;
master_process off;
worker_processes 1;
pid nginx.pid;
error_log stderr notice;
events {{
    use epoll;
    worker_connections 20000;
    multi_accept on;
}}
http {{
    access_log off;
    server_tokens off;
    keepalive_requests 1000000000;
    keepalive_timeout 3600s;
    tcp_nodelay on;
    default_type text/plain;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server {{
        listen 127.0.0.1:{port} backlog=4096{ssl};
        {certificate}
        location / {{
            return 200 "{body}";
        }}
    }}
}}
"#
    )
}

/// Returns the name and version that it reports, such as `nginx version: nginx/1.22.1`.
pub fn nginx_version() -> io::Result<String> {
    machine::version(NGINX, "-v", "nginx-light")
}
