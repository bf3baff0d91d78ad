//! Work without a server that is measured in a process of its own: what is asked, the answer, and how the process starts.

use std::io;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::workers::Times;
use super::{counter, formats, registry};
use crate::child::bind_to_parent;
use crate::run::plan::Plan;
use crate::socket;

/// A measurement that a process is asked for.
#[derive(Serialize, Deserialize)]
pub enum Task {
    /// A counter that threads share.
    Counter(counter::Task),
    /// A registry that threads look users up in.
    Registry(registry::Task),
    /// A message in one format.
    Format(formats::Task),
}

/// Has a process of its own do a task on some processors, and returns its answer.
pub fn ask<A: DeserializeOwned>(task: &Task, cpus: &[usize]) -> io::Result<A> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["task", &serde_json::to_string(task)?, "--cpu"]).args(cpus.iter().map(usize::to_string));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    bind_to_parent(&mut command, libc::SIGKILL);
    let output = command.spawn()?.wait_with_output()?;
    if !output.status.success() {
        return Err(io::Error::other(format!("the process that measures ended with {}", output.status)));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Does a task in this process, and prints the answer.
pub fn perform(task: &str, cpus: &[usize]) -> io::Result<()> {
    socket::pin_to(cpus)?;
    let answer = match serde_json::from_str(task)? {
        Task::Counter(task) => serde_json::to_string(&counter::perform(&task, cpus)?)?,
        Task::Registry(task) => serde_json::to_string(&registry::perform(&task, cpus)?)?,
        Task::Format(task) => serde_json::to_string(&formats::perform(&task)?)?,
    };
    println!("{answer}");
    Ok(())
}

/// The times of a plan, for another process.
pub fn times(plan: &Plan) -> io::Result<Times> {
    let [warm_up, measured] = plan.times()?;
    Ok(Times { warm_up, measured })
}

/// The processors that threads are spread over: that of servers, and that of clients.
pub fn both_cpus(plan: &Plan) -> Vec<usize> {
    let mut cpus = vec![plan.setup.server_cpu, plan.setup.client_cpu];
    cpus.dedup();
    cpus
}

/// The longest wait for something that is on its way.
pub const PATIENCE: Duration = Duration::from_secs(60);
