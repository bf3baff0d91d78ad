//! What this process was started as: the program, its arguments and its folder, so that it can be started anew.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Noted when the process starts: later its folder, or the file of its program, may be another one.
#[derive(Clone, Debug)]
pub(super) struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
    folder: Option<PathBuf>,
}

impl Program {
    /// Notes what this process is.
    pub(super) fn of_this_process() -> std::io::Result<Self> {
        let mut arguments = std::env::args_os();
        let name = arguments.next();
        let folder = std::env::current_dir().ok();
        let named = name.and_then(|name| find(Path::new(&name), folder.as_deref(), std::env::var_os("PATH")));
        // What the kernel says names the file that runs, which a link to the newest release does not lead to any more.
        let path = named.map_or_else(std::env::current_exe, Ok)?;
        Ok(Self { path, arguments: arguments.collect(), folder })
    }

    /// The file that will be started.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Starts it in the same way.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.args(&self.arguments);
        if let Some(folder) = self.folder.as_deref().filter(|folder| folder.is_dir()) {
            command.current_dir(folder);
        }
        command
    }
}

/// Finds the file of a program by the name that it was called by, as a shell does.
fn find(name: &Path, folder: Option<&Path>, path: Option<OsString>) -> Option<PathBuf> {
    let at = |path: PathBuf| path.is_file().then_some(path);
    if name.components().count() > 1 {
        return at(folder.map_or_else(|| name.to_owned(), |folder| folder.join(name)));
    }
    std::env::split_paths(&path?).filter(|entry| entry.is_absolute()).find_map(|entry| at(entry.join(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_by_the_name_that_it_was_called_by() {
        let folder = std::env::temp_dir().join(format!("gannet-program-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("bin")).expect("a folder");
        let file = folder.join("bin/gannet");
        std::fs::write(&file, "").expect("a file");
        let path = std::env::join_paths([Path::new("relative"), &folder.join("nowhere"), &folder.join("bin")]);
        let path = path.expect("no colon in them");
        assert_eq!(find(Path::new("gannet"), None, Some(path.clone())).as_deref(), Some(&*file));
        assert_eq!(find(Path::new("other"), None, Some(path)), None);
        assert_eq!(find(&file, Some(Path::new("/")), None).as_deref(), Some(&*file));
        assert_eq!(find(Path::new("bin/gannet"), Some(&folder), None), Some(folder.join("bin/gannet")));
        std::fs::remove_dir_all(&folder).expect("it goes");
    }
}
