//! Sees that files have changed, however they are replaced: written over, renamed into place, removed and made again, or
//! reached by symbolic links of which one is swapped (as Kubernetes does with `..data`).

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Component, Path, PathBuf};

use gannet_tls::LARGEST_FILE;
use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use rustix::fs::OFlags;

/// Links that lead to links, before one gives up: what Linux does.
const LONGEST_CHAIN: usize = 40;

/// Watches the folders of files. Files themselves cannot be watched: who replaces one makes another.
pub(super) struct Watch {
    files: Vec<PathBuf>,
    watcher: RecommendedWatcher,
    watched: BTreeSet<PathBuf>,
}

/// What files held at a moment, to tell whether they have changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen(Vec<u64>);

impl Watch {
    /// To watch these files, from the first [`renew`](Self::renew) on. `changed` is called on a thread of the watcher's, for whatever happens in their folders.
    ///
    /// # Errors
    ///
    /// The system has no means to watch, or no more of them.
    pub(super) fn new(files: Vec<PathBuf>, changed: impl Fn() + Send + 'static) -> notify::Result<Self> {
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Files are opened and read all the time, by us too. Of what goes wrong the worst is to look in vain.
            let is_reading = event.is_ok_and(
                |event| matches!(event.kind, EventKind::Access(kind) if kind != AccessKind::Close(AccessMode::Write)),
            );
            if !is_reading {
                changed();
            }
        })?;
        Ok(Self { files, watcher, watched: BTreeSet::new() })
    }

    /// Watches the folders that the files are in now. What happens before it returns shows to who looks
    /// after it, what happens later is reported.
    ///
    /// # Errors
    ///
    /// A folder cannot be watched; the others are.
    pub(super) fn renew(&mut self) -> notify::Result<()> {
        let mut folders = BTreeSet::new();
        for file in &self.files {
            let file = std::path::absolute(file).unwrap_or_else(|_| file.clone());
            folders_on_the_way(&file, &mut folders, LONGEST_CHAIN);
        }
        // A folder that was made again is another one of the same name, so none is kept.
        for folder in std::mem::take(&mut self.watched) {
            // It may be gone, and its watch with it.
            let _ = self.watcher.unwatch(&folder);
        }
        let mut result = Ok(());
        for folder in folders {
            match self.watcher.watch(&folder, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.watched.insert(folder);
                }
                Err(error) => result = result.and(Err(error)),
            }
        }
        result
    }
}

impl Seen {
    /// What these files hold, or why they cannot be read. What is no regular file is not: what was read from a pipe is
    /// gone.
    pub(super) fn of(files: &[PathBuf]) -> Self {
        let hash = |file: &PathBuf| {
            let mut hasher = DefaultHasher::new();
            read(file).map_err(|error| error.kind()).hash(&mut hasher);
            hasher.finish()
        };
        Self(files.iter().map(hash).collect())
    }
}

/// The bytes of a regular file, as far as one is read at all. Nothing else is opened, or waited for.
fn read(file: &Path) -> io::Result<Option<Vec<u8>>> {
    if !fs::metadata(file)?.is_file() {
        return Ok(None);
    }
    // It may be another one by now.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let opened = File::options().read(true).custom_flags(flags).open(file)?;
    if !opened.metadata()?.is_file() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    opened.take(LARGEST_FILE + 1).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// All folders in which something has to change for the path to lead to another file: the file's own, and those of each
/// symbolic link on the way. Where one is missing, the nearest that is there.
fn folders_on_the_way(path: &Path, folders: &mut BTreeSet<PathBuf>, links_left: usize) {
    let mut at = PathBuf::new();
    for component in path.components() {
        // By its own name, so that a folder that two links lead to is watched once.
        let parent = fs::canonicalize(&at).unwrap_or_else(|_| at.clone());
        at.push(component);
        if !matches!(component, Component::Normal(_)) {
            continue;
        }
        let found = fs::symlink_metadata(&at);
        let is_last = at == path;
        if is_last || !found.as_ref().is_ok_and(fs::Metadata::is_dir) {
            folders.insert(parent.clone());
        }
        match found {
            Err(_) => return,
            Ok(found) if found.is_symlink() && links_left > 0 => {
                if let Ok(target) = fs::read_link(&at) {
                    folders_on_the_way(&parent.join(target), folders, links_left - 1);
                }
            }
            Ok(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn every_folder_that_a_path_leads_through_by_links_is_watched() {
        let root = std::env::temp_dir().join(format!("gannet-way-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(root.join("mount/..first")).expect("a folder");
        let root = root.canonicalize().expect("it is there");
        fs::write(root.join("mount/..first/tls.crt"), "one").expect("a file");
        symlink("..first", root.join("mount/..data")).expect("a link");
        symlink("..data/tls.crt", root.join("mount/tls.crt")).expect("a link");
        symlink(root.join("mount"), root.join("outer")).expect("a link");
        symlink("loop", root.join("loop")).expect("a link");
        let of = |path: &str| {
            let mut folders = BTreeSet::new();
            folders_on_the_way(&root.join(path), &mut folders, LONGEST_CHAIN);
            let below = |folder: &PathBuf| folder.strip_prefix(&root).expect("below").to_string_lossy().into_owned();
            folders.iter().map(below).collect::<Vec<_>>()
        };
        assert_eq!(of("mount/..first/tls.crt"), ["mount/..first"]);
        assert_eq!(of("mount/tls.crt"), ["mount", "mount/..first"]);
        assert_eq!(of("outer/tls.crt"), ["", "mount", "mount/..first"]);
        assert_eq!(of("mount/missing/tls.crt"), ["mount"]);
        assert_eq!(of("loop"), [""]);
        fs::remove_dir_all(&root).expect("it was there");
    }
}
