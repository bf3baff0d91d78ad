//! Where an admin socket is: as it is written, and where it is when nothing is written.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;

/// Where an admin socket listens, or is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AdminAddress {
    /// Nowhere.
    Off,
    /// A Unix socket.
    Unix(PathBuf),
    /// TCP, which takes a token.
    Tcp(SocketAddr),
}

/// Reads `PATH`, `unix://PATH`, `tcp://host:port` or `off`.
pub(crate) fn parse(text: &str) -> Result<AdminAddress, String> {
    let path = match text.split_once("://") {
        _ if text == "off" => return Ok(AdminAddress::Off),
        Some(("tcp", address)) => {
            let mut found = address.to_socket_addrs().map_err(|error| format!("tcp://{address}: {error}"))?;
            return found.next().map(AdminAddress::Tcp).ok_or_else(|| format!("tcp://{address}: no such address"));
        }
        Some(("unix", path)) => path,
        Some((scheme, _)) => {
            return Err(format!("an admin socket is a path, tcp://host:port or off, and never {scheme}://"));
        }
        None => text,
    };
    if path.is_empty() || path.starts_with('@') || path.ends_with('/') {
        return Err("an admin socket is the path of a file, tcp://host:port or off".to_owned());
    }
    let path = std::path::absolute(path).map_err(|error| format!("{path}: {error}"))?;
    Ok(AdminAddress::Unix(path))
}

/// The default: below `/run` for root, and below the user's own folder for others.
pub(super) fn own_path() -> Option<PathBuf> {
    let folder = if rustix::process::geteuid().is_root() {
        PathBuf::from("/run")
    } else {
        std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|folder| folder.is_absolute())?
    };
    Some(folder.join("gannet/admin.sock"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_path_or_tcp_or_off() {
        assert_eq!(parse("off"), Ok(AdminAddress::Off));
        assert_eq!(parse("/run/a.sock"), Ok(AdminAddress::Unix("/run/a.sock".into())));
        assert_eq!(parse("unix:///run/a.sock"), Ok(AdminAddress::Unix("/run/a.sock".into())));
        assert!(matches!(parse("a.sock"), Ok(AdminAddress::Unix(path)) if path.is_absolute()));
        assert_eq!(parse("tcp://127.0.0.1:9"), Ok(AdminAddress::Tcp(([127, 0, 0, 1], 9).into())));
        for (text, why) in [
            ("", "path of a file"),
            ("@name", "path of a file"),
            ("unix://@name", "path of a file"),
            ("/run/", "path of a file"),
            ("tls://127.0.0.1:1", "never tls://"),
            ("tcp://127.0.0.1", "tcp://127.0.0.1: "),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
