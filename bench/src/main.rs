//! `gannet-bench`: runs bare floors and the engine side by side, on one machine, in one run.
//!
//! The server is a child process pinned to one CPU, the client this process pinned to another. What is
//! compared is CPU time per message, as a ratio of neighbours in time: on a shared machine that is
//! steadier than throughput.

#![cfg(target_os = "linux")]
// A benchmark is where time is asked for.
#![allow(clippy::disallowed_methods)]

mod child;
mod client;
mod drain;
mod engine;
mod epoll;
mod floor;
mod haproxy;
mod home;
mod http;
mod machine;
mod measure;
mod models;
mod noise;
mod peers;
mod pool;
mod push;
mod redis;
mod report;
mod run;
mod socket;
mod subject;
mod tape;
mod tls;
mod websocket;
mod wire;

use std::io;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The subjects that are Gannet's run with the allocator that it ships with.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Measures what a server costs beside a bare loop in the same language.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Every other command, one after the other, with one report.
    All(run::all::Options),
    /// Tables and charts of the JSON that commands have written.
    Report(report::Options),
    /// Connections that come, make one exchange, and go: CPU time for each.
    Churn(run::churn::Options),
    /// Connections that are opened and stay: a second, CPU time for each.
    Connect(run::connect::Options),
    /// Echo: messages per second, CPU time per message, round trips.
    Echo(run::echo::Options),
    /// Response times at 70 % of the weaker one's capacity, in an open loop.
    Latency(run::latency::Options),
    /// Resident memory of an idle connection.
    Memory(run::memory::Options),
    /// One payload to everybody: CPU time per delivery.
    Broadcast(run::broadcast::Options),
    /// The load generator beside a bare client: rate, agreement, memory of an idle client.
    Load(run::load::Options),
    /// A million connections held by one process, and opened by another.
    Million(run::million::Options),
    /// The store beside Redis itself: GET, SET, PUBLISH, memory.
    Redis(run::redis::Options),
    /// The HTTP server beside nginx: GET, many routes beside one, memory of idle connections.
    Http(run::http::Options),
    /// WebSocket beside bare loops: echo, one message to everybody, memory of idle connections.
    Ws(run::ws::Options),
    /// TLS: echo beside plain echo, handshakes, a storm of them, memory, HTTP beside nginx.
    Tls(run::tls::Options),
    /// Calls of Redis through a pool beside a service written by hand.
    Pool(run::pool::Options),
    /// Dialogues as futures beside callbacks and tokio: echo, memory of idle connections; hyper on both.
    Sessions(run::sessions::Options),
    /// Gateways beside Centrifugo and bare loops: deliveries, connects, recovery, memory.
    Push(run::push::Options),
    /// Ways to build a concurrent server beside each other: connections, a shared counter, long work, formats, TLS, a registry.
    Models(models::Options),
    /// Does one task of `models`, which starts it.
    #[command(hide = true)]
    Task {
        task: String,
        #[arg(long, num_args = 1.., required = true)]
        cpu: Vec<usize>,
    },
    /// Serves one subject; the other commands start it.
    #[command(hide = true)]
    Server {
        subject: String,
        #[arg(long)]
        port: u16,
        #[arg(long)]
        cpu: Option<usize>,
    },
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::All(options) => run::all::run(&options),
        Command::Report(options) => report::run(&options),
        Command::Churn(options) => run::churn::run(&options),
        Command::Connect(options) => run::connect::run(&options),
        Command::Echo(options) => run::echo::run(&options),
        Command::Latency(options) => run::latency::run(&options),
        Command::Memory(options) => run::memory::run(&options),
        Command::Broadcast(options) => run::broadcast::run(&options),
        Command::Load(options) => run::load::run(&options),
        Command::Million(options) => run::million::run(&options),
        Command::Redis(options) => run::redis::run(&options),
        Command::Http(options) => run::http::run(&options),
        Command::Ws(options) => run::ws::run(&options),
        Command::Tls(options) => run::tls::run(&options),
        Command::Pool(options) => run::pool::run(&options),
        Command::Sessions(options) => run::sessions::run(&options),
        Command::Push(options) => run::push::run(&options),
        Command::Models(options) => models::run(&options),
        Command::Task { task, cpu } => models::task::perform(&task, &cpu),
        Command::Server { subject, port, cpu } => match serve(&subject, port, cpu) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                return ExitCode::from(child::PORT_TAKEN);
            }
            result => result,
        },
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gannet-bench: {error}");
            match error.kind() {
                // A subject that there is not, or a program that has to be installed.
                io::ErrorKind::NotFound => ExitCode::from(2),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

fn serve(subject: &str, port: u16, cpu: Option<usize>) -> io::Result<()> {
    let subject = run::known(subject)?;
    if let Some(cpu) = cpu {
        socket::pin(cpu)?;
    }
    (subject.serve)(port, subject::Ready::new())
}
