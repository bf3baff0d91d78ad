//! Options that are one of some names, and what each of them is to the engine.

use clap::ValueEnum;
use gannet::{Balance, DriverChoice, Overflow};
use gannet_redis::Policy;
use tracing_subscriber::filter::LevelFilter;

/// `--driver`.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum DriverName {
    Auto,
    Uring,
    Poll,
}

impl From<DriverName> for DriverChoice {
    fn from(name: DriverName) -> Self {
        match name {
            DriverName::Auto => Self::Auto,
            DriverName::Uring => Self::Uring,
            DriverName::Poll => Self::Poll,
        }
    }
}

/// `--balance`.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum BalanceName {
    /// The kernel chooses, by a hash of both addresses
    #[value(name = "reuseport")]
    ReusePort,
    /// Each reactor in turn
    RoundRobin,
    /// The reactor with the fewest connections
    LeastConnections,
    /// By the source's address: a client always meets the same reactor
    SourceHash,
}

impl From<BalanceName> for Balance {
    fn from(name: BalanceName) -> Self {
        match name {
            BalanceName::ReusePort => Self::ReusePort,
            BalanceName::RoundRobin => Self::RoundRobin,
            BalanceName::LeastConnections => Self::LeastConnections,
            BalanceName::SourceHash => Self::SourceHash,
        }
    }
}

/// `--overflow`.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum OverflowName {
    Close,
    DropOldest,
    LatestOnly,
}

impl From<OverflowName> for Overflow {
    fn from(name: OverflowName) -> Self {
        match name {
            OverflowName::Close => Self::Close,
            OverflowName::DropOldest => Self::DropOldest,
            OverflowName::LatestOnly => Self::LatestOnly,
        }
    }
}

/// `--redis-max-memory-policy`.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum PolicyName {
    /// Refuse commands that may need memory
    #[value(name = "noeviction")]
    NoEviction,
    /// Remove keys that were not used for a long time
    #[value(name = "allkeys-lru")]
    AllKeysLru,
    /// Remove keys that expire, soonest first
    VolatileTtl,
}

impl From<PolicyName> for Policy {
    fn from(name: PolicyName) -> Self {
        match name {
            PolicyName::NoEviction => Self::NoEviction,
            PolicyName::AllKeysLru => Self::AllKeysLru,
            PolicyName::VolatileTtl => Self::VolatileTtl,
        }
    }
}

/// `--log`, or `log.format`.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// `--log-level`.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl From<LogLevel> for LevelFilter {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Error => Self::ERROR,
            LogLevel::Warn => Self::WARN,
            LogLevel::Info => Self::INFO,
            LogLevel::Debug => Self::DEBUG,
            LogLevel::Trace => Self::TRACE,
        }
    }
}
