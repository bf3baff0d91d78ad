//! Real servers as processes, which a test stops, kills, halts and starts again.

use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// A server in a process group of its own, so that a signal reaches its children too.
pub struct Process {
    child: Child,
    folder: Option<PathBuf>,
}

impl Process {
    /// Starts a program; nothing where it is not installed.
    fn start(command: &mut Command, folder: Option<PathBuf>) -> Option<Self> {
        let program = command.get_program().to_string_lossy().into_owned();
        match command.process_group(0).stdout(Stdio::null()).stderr(Stdio::null()).spawn() {
            Ok(child) => Some(Self { child, folder }),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                eprintln!("not tried: {program} is not installed");
                None
            }
            Err(error) => panic!("{program}: {error}"),
        }
    }

    pub fn redis(port: u16) -> Option<Self> {
        let port = port.to_string();
        let arguments = ["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
        Self::start(
            Command::new("redis-server").args(arguments).args(["--requirepass", "secret", "--dir", "/tmp"]),
            None,
        )
    }

    /// An nginx with one worker, which answers a request with its argument `n`.
    pub fn nginx(port: u16) -> Option<Self> {
        let folder = std::env::temp_dir().join(format!("gannet-client-nginx-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let config = folder.join("nginx.conf");
        std::fs::write(&config, nginx_config(port)).expect("a file");
        let mut command = Command::new("nginx");
        command.arg("-e").arg("stderr").arg("-p").arg(&folder).arg("-c").arg(&config);
        Self::start(&mut command, Some(folder))
    }

    /// Sends a signal to the first process of the server, as `QUIT`.
    pub fn signal(&self, signal: &str) {
        self.send(signal, &self.child.id().to_string());
    }

    /// Sends a signal to all processes of the server, as `KILL`.
    pub fn signal_all(&self, signal: &str) {
        self.send(signal, &format!("-{}", self.child.id()));
    }

    fn send(&self, signal: &str, whom: &str) {
        let sent = Command::new("kill").args([&format!("-{signal}"), "--", whom]).stderr(Stdio::null()).status();
        assert!(sent.is_ok(), "{signal}: {sent:?}");
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_some()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal_all("KILL");
        let _ = self.child.wait();
        if let Some(folder) = &self.folder {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

pub fn free_port() -> u16 {
    gannet_testing::free_ports(1)[0].port()
}

fn nginx_config(port: u16) -> String {
    // A connection ends after 200 requests, as one does after 1,000 by default.
    format!(
        "daemon off; worker_processes 1; pid nginx.pid; error_log /dev/null crit;
        events {{ worker_connections 64; }}
        http {{
            access_log off; keepalive_requests 200;
            client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
            uwsgi_temp_path uwsgi; scgi_temp_path scgi;
            server {{ listen 127.0.0.1:{port}; location / {{ default_type text/plain; return 200 \"$arg_n\"; }} }}
        }}"
    )
}
