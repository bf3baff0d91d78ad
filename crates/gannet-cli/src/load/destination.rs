//! Where a form of the report goes: a file, or a pipe that somebody reads.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use crate::failure::Failure;

/// A file that is open from before the start to the end of the run: who reads a pipe sees no end before the report.
#[derive(Debug)]
pub(super) struct Destination<'a> {
    path: &'a Path,
    file: File,
}

impl<'a> Destination<'a> {
    /// Opens a file, which stays as it is so far. A pipe without a reader is not waited for.
    ///
    /// # Errors
    ///
    /// The file cannot be written, or it is a pipe that nobody reads.
    pub(super) fn open(path: &'a Path) -> Result<Self, Failure> {
        let opened = open_at_once(path).map_err(|error| {
            let is_pipe = path.metadata().is_ok_and(|found| found.file_type().is_fifo());
            if is_pipe && error.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error()) {
                return Failure::Output(format!(
                    "{} is a pipe that nobody reads; start its reader first",
                    path.display()
                ));
            }
            unwritable(path, &error)
        });
        Ok(Self { path, file: opened? })
    }

    /// Writes the report in place of what was there.
    ///
    /// # Errors
    ///
    /// It could not be made, or not be written.
    pub(super) fn write(mut self, content: io::Result<String>) -> Result<(), Failure> {
        let written = content.and_then(|content| {
            if self.file.metadata()?.is_file() {
                // In an hour somebody may have removed it.
                self.file = open_at_once(self.path)?;
                self.file.set_len(0)?;
            }
            self.file.write_all(content.as_bytes())
        });
        written.map_err(|error| unwritable(self.path, &error))
    }
}

fn open_at_once(path: &Path) -> io::Result<File> {
    let at_once = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().create(true).append(true).custom_flags(at_once).open(path)?;
    // A reader takes a report as fast as it can.
    fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    Ok(file)
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::Output(format!("{} cannot be written: {error}", path.display()))
}
