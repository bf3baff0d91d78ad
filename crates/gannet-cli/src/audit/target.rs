//! Where lines of the audit log go.

use std::fmt::{self, Display, Formatter};
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use serde_json::Value;

use super::AUDIT;

/// Where lines of the audit log go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// To the log of the server, on standard error.
    Log,
    /// To a file, at whose end they are added.
    File(PathBuf),
}

impl Target {
    /// Reads `off`, `log`, or an absolute path.
    ///
    /// # Errors
    ///
    /// It is none of these.
    pub(crate) fn parse(text: &str) -> Result<Option<Self>, String> {
        match text {
            "off" => Ok(None),
            "log" => Ok(Some(Self::Log)),
            path if path.starts_with('/') && !path.contains('\0') => Ok(Some(Self::File(path.into()))),
            _ => Err("the audit log is an absolute path, as /var/log/gannet/audit.log; or log, or off".to_owned()),
        }
    }

    /// Why no line could be written now, as far as that can be seen without a file being made.
    pub(crate) fn flaw(&self) -> Option<&'static str> {
        let Self::File(path) = self else { return None };
        if path.is_dir() {
            return Some("it is a folder; name a file in it");
        }
        let has_folder = path.parent().is_none_or(Path::is_dir);
        (!has_folder).then_some("its folder is not there; make it, or name another file")
    }

    /// Writes an object as a line. The file is opened for each, since they are few: it may be moved away at any time.
    pub(super) fn write(&self, line: &Value) -> io::Result<()> {
        let path = match self {
            Self::Log => {
                let text = |key: &str| line[key].as_str();
                tracing::info!(
                    target: AUDIT,
                    action = text("action"),
                    outcome = text("outcome"),
                    by = text("by"),
                    peer = text("peer"),
                    operator = text("operator"),
                    what = %line["what"],
                    error = text("error"),
                    "audit"
                );
                return Ok(());
            }
            Self::File(path) => path,
        };
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            // A pipe that nobody reads is an error, and no end of waiting.
            .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
            .open(path)?;
        file.write_all(format!("{line}\n").as_bytes())
    }
}

impl Display for Target {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log => f.write_str("log"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}
