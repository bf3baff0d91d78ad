//! A directory, and the files beneath it. What is here blocks: it runs on the pool for files.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, open, openat};
use rustix::io::Errno;

/// How a file is opened. A pipe is not waited for; that it is no file shows later.
const READ: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// A directory that nothing is opened outside of.
#[derive(Debug)]
pub(super) struct Root {
    directory: OwnedFd,
    /// Whether the kernel resolves paths beneath a directory.
    beneath: bool,
}

impl Root {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let directory = open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let beneath = open_beneath(directory.as_fd(), ".").is_ok();
        Ok(Self { directory, beneath })
    }

    /// Opens a file or a directory by a path that has no empty segments and none of dots.
    pub(super) fn find(&self, path: &str) -> io::Result<File> {
        let opened = if self.beneath {
            open_beneath(self.directory.as_fd(), path)
        } else {
            open_without_links(self.directory.as_fd(), path)
        };
        Ok(opened?.into())
    }
}

/// Has the kernel resolve the path: a symbolic link that leads out is an error, `EXDEV`.
#[cfg(target_os = "linux")]
fn open_beneath(directory: impl AsFd, path: &str) -> Result<OwnedFd, Errno> {
    use rustix::fs::{ResolveFlags, openat2};

    /// A directory that is moved while a link with `..` goes through it makes it start anew.
    const TRIES: usize = 4;

    let mut last = Errno::AGAIN;
    for _ in 0..TRIES {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        match openat2(&directory, path, READ, Mode::empty(), resolve) {
            Err(error @ (Errno::AGAIN | Errno::INTR)) => last = error,
            other => return other,
        }
    }
    Err(last)
}

#[cfg(not(target_os = "linux"))]
fn open_beneath(_: impl AsFd, _: &str) -> Result<OwnedFd, Errno> {
    Err(Errno::NOSYS)
}

/// Goes down one directory after the other and follows no symbolic link.
fn open_without_links(directory: impl AsFd, path: &str) -> Result<OwnedFd, Errno> {
    let (directories, file) = path.rsplit_once('/').map_or(("", path), |(directories, file)| (directories, file));
    let mut at: Option<OwnedFd> = None;
    for name in directories.split('/').filter(|name| !name.is_empty()) {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        at = Some(openat(at.as_ref().map_or(directory.as_fd(), AsFd::as_fd), name, flags, Mode::empty())?);
    }
    openat(at.as_ref().map_or(directory.as_fd(), AsFd::as_fd), file, READ | OFlags::NOFOLLOW, Mode::empty())
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;
    use std::{env, fs, process};

    use super::*;

    /// A directory of its own, with `root` in it and a secret beside.
    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Self {
            let place = Self(env::temp_dir().join(format!("gannet-root-{name}-{}", process::id())));
            fs::create_dir_all(place.0.join("root/inner/deep")).expect("a directory");
            fs::write(place.0.join("secret"), "secret").expect("a file");
            fs::write(place.0.join("root/a.txt"), "a").expect("a file");
            fs::write(place.0.join("root/inner/deep/b.txt"), "b").expect("a file");
            for (link, to) in [
                ("up", "../secret"),
                ("up-directory", ".."),
                ("absolute", "/etc/passwd"),
                ("absolute-in", "a.txt"),
                ("inner/beside", "../a.txt"),
                ("circle", "circle"),
                ("inner/link-to-deep", "deep"),
            ] {
                let to = if link == "absolute-in" { place.0.join("root").join(to) } else { to.into() };
                symlink(to, place.0.join("root").join(link)).expect("a link");
            }
            place
        }

        fn root(&self) -> Root {
            Root::open(&self.0.join("root")).expect("it is there")
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn read(root: &Root, path: &str) -> Option<String> {
        let mut text = String::new();
        root.find(path).ok()?.read_to_string(&mut text).ok()?;
        Some(text)
    }

    #[test]
    fn no_link_leads_out() {
        let place = Place::new("out");
        for beneath in [true, false] {
            let mut root = place.root();
            root.beneath &= beneath;
            assert_eq!(read(&root, "a.txt").as_deref(), Some("a"));
            assert_eq!(read(&root, "inner/deep/b.txt").as_deref(), Some("b"));
            for path in ["up", "up-directory/secret", "absolute", "absolute-in", "circle", "up-directory/root/a.txt"] {
                assert!(root.find(path).is_err(), "{path}, beneath: {beneath}");
            }
        }
    }

    #[test]
    fn links_that_stay_inside_are_followed_where_the_kernel_can_tell() {
        let place = Place::new("in");
        let mut root = place.root();
        let expected = |text: &'static str| root.beneath.then_some(text);
        assert_eq!(read(&root, "inner/beside").as_deref(), expected("a"));
        assert_eq!(read(&root, "inner/link-to-deep/b.txt").as_deref(), expected("b"));
        root.beneath = false;
        for path in ["inner/beside", "inner/link-to-deep/b.txt"] {
            assert_eq!(read(&root, path), None, "{path}");
        }
    }

    #[test]
    fn even_a_path_with_dots_does_not_get_out_by_the_kernel() {
        let place = Place::new("dots");
        let root = place.root();
        if root.beneath {
            for path in ["../secret", "/etc/passwd", "inner/../../secret"] {
                assert!(root.find(path).is_err(), "{path}");
            }
        }
    }

    #[test]
    fn a_root_that_is_no_directory_is_refused_at_once() {
        let place = Place::new("none");
        for path in ["secret", "nowhere"] {
            assert!(Root::open(&place.0.join(path)).is_err(), "{path}");
        }
    }
}
