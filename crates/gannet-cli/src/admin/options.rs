//! The options of the admin socket: of the server, and of the commands that ask it.

use std::fmt;
use std::path::PathBuf;

use clap::Args;

use super::address::{AdminAddress, parse};
use crate::failure::Failure;

/// The shortest token: what can be guessed is none.
const SHORTEST_TOKEN_BYTES: usize = 16;

/// What a client over TCP has to show.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token(String);

impl Token {
    fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.len() < SHORTEST_TOKEN_BYTES {
            return Err(format!("the token of the admin socket has at least {SHORTEST_TOKEN_BYTES} characters"));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("the token of the admin socket has characters that no header can have".to_owned());
        }
        Ok(Self(text.to_owned()))
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

/// Never the token itself.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Where the admin socket is, and the token for it.
#[derive(Args, Clone)]
pub(crate) struct AdminOptions {
    /// Admin socket: a path, tcp://host:port, or off [default: /run/gannet/admin.sock, or in XDG_RUNTIME_DIR unless root]
    #[arg(long, value_name = "PATH", value_parser = parse, env = "GANNET_ADMIN", hide_env = true, help_heading = "Admin")]
    pub(crate) admin: Option<AdminAddress>,

    /// Token of the admin socket over TCP; set it in the environment, where other users cannot see it
    #[arg(
        long,
        value_name = "TEXT",
        env = "GANNET_ADMIN_TOKEN",
        hide_env_values = true,
        conflicts_with = "admin_token_file",
        help_heading = "Admin"
    )]
    pub(crate) admin_token: Option<String>,

    /// File with the token of the admin socket over TCP
    #[arg(long, value_name = "FILE", env = "GANNET_ADMIN_TOKEN_FILE", hide_env = true, help_heading = "Admin")]
    pub(crate) admin_token_file: Option<PathBuf>,
}

/// Never the token itself.
impl fmt::Debug for AdminOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminOptions").field("admin", &self.admin).finish_non_exhaustive()
    }
}

impl AdminOptions {
    /// The token, if there is one. An empty variable is as good as none.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or the token is too short or has characters that no header can have.
    pub(super) fn token(&self) -> Result<Option<Token>, Failure> {
        let usage = |why: String| Failure::Usage(why);
        if let Some(file) = &self.admin_token_file {
            let read = crate::secret_files::read(file);
            let text = read.map_err(|error| usage(format!("--admin-token-file {}: {error}", file.display())))?;
            return Token::parse(&text).map(Some).map_err(usage);
        }
        let given = self.admin_token.as_deref().filter(|token| !token.is_empty());
        given.map(Token::parse).transpose().map_err(usage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_long_enough_and_is_never_shown() {
        assert!(Token::parse("short").expect_err("too short").contains("16 characters"));
        assert!(Token::parse("0123456789 0123456789").expect_err("a space").contains("no header"));
        let token = Token::parse(" 0123456789abcdef\n").expect("long enough");
        assert_eq!((token.reveal(), &*format!("{token:?}")), ("0123456789abcdef", "Token(…)"));
    }
}
