//! The longest common subsequence of two strings.

use super::bytes;
use crate::command::call::Call;
use crate::command::error::{Error, Outcome};

/// Bytes of the table for each pair of a byte and a byte.
const CELL_BYTES: usize = size_of::<u32>();

/// What is asked for.
#[derive(Default)]
struct Options {
    len: bool,
    idx: bool,
    least_len: usize,
    with_len: bool,
}

/// As many bytes as can be that are the same in both strings and follow each other.
struct Match {
    first: usize,
    second: usize,
    len: usize,
}

pub(super) fn lcs(call: &mut Call<'_, '_, '_>) -> Outcome {
    // Both are looked at before the options, and what they hold is copied only when the size of the table is known.
    let lens = [string(call, 1, <[u8]>::len)?, string(call, 2, <[u8]>::len)?];
    let options = Options::read(call)?;
    let cells = (lens[0] + 1).saturating_mul(lens[1] + 1);
    if cells.saturating_mul(CELL_BYTES) > call.max_bulk {
        return Err(Error::new("ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len"));
    }
    let (first, second) = (string(call, 1, <[u8]>::to_vec)?, string(call, 2, <[u8]>::to_vec)?);
    call.count_bytes(cells.saturating_mul(CELL_BYTES));
    let table = Table::new(&first, &second, cells)?;
    if options.len {
        call.reply.integer(table.len().into());
        return Ok(());
    }
    let mut matches = table.matches(&first, &second);
    if options.idx {
        matches.retain(|found| found.len >= options.least_len);
        reply_matches(call, &matches, table.len(), options.with_len);
    } else {
        let common = matches.iter().rev().flat_map(|found| &first[found.first..][..found.len]);
        call.reply.bulk(&common.copied().collect::<Vec<u8>>());
    }
    Ok(())
}

/// What somebody finds out of a string.
fn string<R>(call: &mut Call<'_, '_, '_>, index: usize, look: impl FnOnce(&[u8]) -> R) -> Result<R, Error> {
    let Some(value) = call.value(call.key(index)) else { return Ok(look(b"")) };
    match bytes(value) {
        Some(bytes) => Ok(look(bytes)),
        None => Err(Error::new("ERR The specified keys must contain string values")),
    }
}

impl Options {
    fn read(call: &Call<'_, '_, '_>) -> Result<Self, Error> {
        let mut options = Self::default();
        let mut at = 3;
        while at < call.args.len() {
            if call.is(at, "IDX") {
                options.idx = true;
            } else if call.is(at, "LEN") {
                options.len = true;
            } else if call.is(at, "WITHMATCHLEN") {
                options.with_len = true;
            } else if call.is(at, "MINMATCHLEN") && at + 1 < call.args.len() {
                at += 1;
                options.least_len = usize::try_from(call.integer(at)?).unwrap_or(0);
            } else {
                return Err(Error::SYNTAX);
            }
            at += 1;
        }
        if options.idx && options.len {
            return Err(Error::new("ERR If you want both the length and indexes, please just use IDX."));
        }
        Ok(options)
    }
}

/// The lengths of the longest common subsequences of all beginnings of one string with all of another.
struct Table {
    lens: Vec<u32>,
    /// Cells of a row: all beginnings of the second string, the empty one included.
    width: usize,
}

impl Table {
    fn new(first: &[u8], second: &[u8], cells: usize) -> Result<Self, Error> {
        let width = second.len() + 1;
        let mut lens = Vec::new();
        let failed = |_| Error::new("ERR Insufficient memory, failed allocating transient memory for LCS");
        lens.try_reserve_exact(cells).map_err(failed)?;
        lens.resize(cells, 0u32);
        for (row, byte) in first.iter().enumerate() {
            let (above, current) = lens[row * width..][..2 * width].split_at_mut(width);
            for (column, other) in second.iter().enumerate() {
                current[column + 1] =
                    if byte == other { above[column] + 1 } else { above[column + 1].max(current[column]) };
            }
        }
        Ok(Self { lens, width })
    }

    /// Of the whole strings.
    fn len(&self) -> u32 {
        self.lens.last().copied().unwrap_or(0)
    }

    /// The parts that make up the common subsequence, the last one first.
    fn matches(&self, first: &[u8], second: &[u8]) -> Vec<Match> {
        let mut matches: Vec<Match> = Vec::new();
        let (mut row, mut column) = (first.len(), second.len());
        while row > 0 && column > 0 {
            if first[row - 1] == second[column - 1] {
                match matches.last_mut() {
                    Some(last) if last.first == row && last.second == column => {
                        (last.first, last.second, last.len) = (row - 1, column - 1, last.len + 1);
                    }
                    _ => matches.push(Match { first: row - 1, second: column - 1, len: 1 }),
                }
                (row, column) = (row - 1, column - 1);
            } else if self.lens[(row - 1) * self.width + column] > self.lens[row * self.width + column - 1] {
                row -= 1;
            } else {
                column -= 1;
            }
        }
        matches
    }
}

fn reply_matches(call: &mut Call<'_, '_, '_>, matches: &[Match], len: u32, with_len: bool) {
    let reply = &mut call.reply;
    reply.map(2);
    reply.bulk(b"matches");
    reply.array(matches.len());
    for found in matches {
        reply.array(2 + usize::from(with_len));
        for start in [found.first, found.second] {
            reply.array(2);
            reply.integer(start as i64);
            reply.integer((start + found.len - 1) as i64);
        }
        if with_len {
            reply.integer(found.len as i64);
        }
    }
    reply.bulk(b"len");
    reply.integer(len.into());
}
