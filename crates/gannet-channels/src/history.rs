//! Reading a channel's history.

use std::sync::Arc;

use crate::position::{Position, Since};
use crate::publication::Publication;

/// Which publications to read.
#[derive(Debug, Clone, Default)]
pub struct HistoryRequest {
    /// At most this many; 0 reads the position alone, `None` all.
    pub limit: Option<usize>,
    /// Only publications after this position, or before it if `reverse` is set.
    pub since: Option<Since>,
    /// The newest first.
    pub reverse: bool,
}

/// What a channel's history has.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// The publications, in the order that was asked for.
    pub publications: Vec<Arc<Publication>>,
    /// Where the stream stands.
    pub position: Position,
}

impl HistoryRequest {
    /// Makes a request for the newest publications.
    #[must_use]
    pub fn newest(limit: usize) -> Self {
        Self { limit: Some(limit), since: None, reverse: true }
    }

    /// Chooses from all publications of a stream, which come oldest first.
    pub(crate) fn choose<'a>(
        &self,
        all: impl DoubleEndedIterator<Item = &'a Arc<Publication>>,
    ) -> Vec<Arc<Publication>> {
        let most = self.limit.unwrap_or(usize::MAX);
        let since = self.since.as_ref().map(|since| since.offset);
        if self.reverse {
            let before = since.unwrap_or(u64::MAX);
            all.rev().filter(|publication| publication.offset < before).take(most).cloned().collect()
        } else {
            let after = since.unwrap_or(0);
            all.filter(|publication| publication.offset > after).take(most).cloned().collect()
        }
    }
}
