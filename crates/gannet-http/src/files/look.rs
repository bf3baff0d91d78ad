//! Looks a file up, and makes the response to it.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::time::SystemTime;

use httpdate::HttpDate;
use rustix::io::Errno;

use super::conditions::{Conditions, Decision, Facts, in_seconds};
use super::kind::media_type;
use super::path::Name;
use super::send::{FileSource, Permit};
use super::{Files, NOT_FOUND};
use crate::clock;
use crate::draft::FAILED;
use crate::response::Reply;

/// A body up to this size is read in one go, in bytes.
const SMALL: u64 = 256 << 10;

/// A file that becomes shorter while it is read is looked at again; so often.
const LOOKS: usize = 3;

/// What there is under a name.
#[derive(Debug)]
pub(super) enum Found {
    File(Box<Answer>),
    /// A directory with an index, asked for without the slash at the end.
    Directory,
    Nothing,
    /// There is no descriptor or no memory for it now.
    Busy,
    Failed,
}

/// A file, and what is sent of it.
#[derive(Debug)]
pub(super) struct Answer {
    kind: &'static str,
    facts: Facts,
    decision: Decision,
    body: Body,
}

#[derive(Debug)]
enum Body {
    Read(Vec<u8>),
    Stream { file: File, range: Range<u64>, permit: Permit },
}

impl Files {
    /// Finds out what a request gets, and reads it where it is small. Blocks.
    pub(super) fn look(&self, name: &Name, conditions: &Conditions) -> Found {
        let found = self.open(name).and_then(|opened| match opened {
            Opened::File { file, path } => self.read(file, &path, conditions),
            Opened::Directory => Ok(Found::Directory),
            Opened::Nothing => Ok(Found::Nothing),
        });
        found.unwrap_or_else(|error| refused(&error, &name.path))
    }

    fn open(&self, name: &Name) -> io::Result<Opened> {
        let index = self.index.as_ref().map(|index| name.inside(index));
        if !name.directory {
            let file = self.root.find(&name.path)?;
            let kind = file.metadata()?.file_type();
            return match index {
                _ if kind.is_file() => Ok(Opened::File { file, path: name.path.clone() }),
                Some(index) if kind.is_dir() && self.root.find(&index)?.metadata()?.is_file() => Ok(Opened::Directory),
                _ => Ok(Opened::Nothing),
            };
        }
        let Some(path) = index else { return Ok(Opened::Nothing) };
        let file = self.root.find(&path)?;
        Ok(if file.metadata()?.is_file() { Opened::File { file, path } } else { Opened::Nothing })
    }

    fn read(&self, file: File, path: &str, conditions: &Conditions) -> io::Result<Found> {
        for _ in 0..LOOKS {
            let facts = facts(&file)?;
            let decision = conditions.decide(&facts);
            let range = match &decision {
                Decision::Whole => 0..facts.size,
                Decision::Part(range) => range.clone(),
                Decision::NotModified | Decision::PreconditionFailed | Decision::NotSatisfiable => 0..0,
            };
            let length = range.end - range.start;
            let body = if length > SMALL {
                let Some(permit) = self.permits.take() else { return Ok(Found::Busy) };
                Body::Stream { file, range, permit }
            } else {
                // Also for `HEAD`: what layers make of the body shows in the fields.
                let mut bytes = vec![0; length as usize];
                match file.read_exact_at(&mut bytes, range.start) {
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => continue,
                    read => read?,
                }
                Body::Read(bytes)
            };
            return Ok(Found::File(Box::new(Answer { kind: media_type(path), facts, decision, body })));
        }
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

enum Opened {
    File { file: File, path: String },
    Directory,
    Nothing,
}

fn facts(file: &File) -> io::Result<Facts> {
    let metadata = file.metadata()?;
    let (inode, size) = (metadata.ino(), metadata.size());
    let tag = format!("\"{inode:x}-{size:x}-{:x}.{:x}\"", metadata.mtime(), metadata.mtime_nsec());
    // A file that says it is of tomorrow is of now (RFC 9110 §8.8.2.1).
    let modified = in_seconds(metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH).min(clock::time_of_day()));
    Ok(Facts { size, modified, tag })
}

/// What it means that a file could not be opened or read. Who asks learns nothing of what they may not see.
fn refused(error: &io::Error, path: &str) -> Found {
    match Errno::from_io_error(error) {
        Some(
            Errno::NOENT
            | Errno::NOTDIR
            | Errno::ISDIR
            | Errno::LOOP
            | Errno::XDEV
            | Errno::NAMETOOLONG
            | Errno::NXIO
            | Errno::INVAL,
        ) => Found::Nothing,
        Some(Errno::ACCESS | Errno::PERM) => {
            tracing::debug!(path, %error, "a file may not be read; answered with 404");
            Found::Nothing
        }
        Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM) => {
            tracing::warn!(path, %error, "a file cannot be opened now; answered with 503");
            Found::Busy
        }
        _ => {
            tracing::error!(path, %error, "a file cannot be read; answered with 500");
            Found::Failed
        }
    }
}

impl Found {
    /// Makes the response.
    pub(super) fn answer(self, files: &Files, with_slash: &str, reply: &mut Reply<'_>) {
        match self {
            Self::File(answer) => answer.answer(files, reply),
            Self::Directory => {
                reply.status(301);
                reply.header("Location", with_slash);
            }
            Self::Nothing => reply.refuse(404, NOT_FOUND),
            Self::Busy => {
                reply.refuse(503, "too much to do\n");
                reply.header("Retry-After", "1");
            }
            Self::Failed => reply.refuse(500, FAILED),
        }
    }
}

impl Answer {
    fn answer(self, files: &Files, reply: &mut Reply<'_>) {
        let Self { kind, facts, decision, body } = self;
        match &decision {
            Decision::PreconditionFailed => return reply.refuse(412, "precondition failed\n"),
            Decision::NotSatisfiable => {
                reply.refuse(416, "no such range\n");
                return reply.header("Content-Range", format!("bytes */{}", facts.size));
            }
            Decision::NotModified => reply.status(304),
            Decision::Part(range) => {
                reply.status(206);
                reply.header("Content-Range", format!("bytes {}-{}/{}", range.start, range.end - 1, facts.size));
            }
            Decision::Whole => (),
        }
        reply.header("ETag", facts.tag);
        if let Some(value) = &files.cache_control {
            reply.header("Cache-Control", value);
        }
        // With a tag, that is all that the client has to know where nothing has changed (RFC 9110 §15.4.5).
        if decision == Decision::NotModified {
            return;
        }
        reply.header("Last-Modified", HttpDate::from(facts.modified).to_string());
        reply.header("Accept-Ranges", "bytes");
        reply.header("Content-Type", kind);
        match body {
            Body::Read(bytes) => reply.draft.body = bytes,
            Body::Stream { file, range, permit } => {
                reply.stream_sized(range.end - range.start, FileSource::new(file, range, permit));
            }
        }
    }
}
