//! People's pictures on their way in: one file out of a form, checked by what it holds, made small and plain. What was
//! sent is thrown away; only what was drawn anew is stored, so nothing hidden in a file gets any further.

mod form;
mod redraw;
mod tidy;

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use service_kit::Problem;

pub(crate) use form::Upload;
pub(crate) use redraw::{MEDIA_TYPE, RedrawError, SIDE_PIXELS};
pub(crate) use tidy::run as keep_tidy;

use std::time::Duration;

/// Pictures that are drawn at once: each takes a processor and some 100 MiB for a moment.
const REDRAWN_AT_ONCE_MAX: usize = 2;
/// How long a picture waits for its turn.
const TURN_LIMIT: Duration = Duration::from_secs(5);

/// A picture as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Picture {
    /// SHA-256 of the bytes in hex.
    pub(crate) digest: String,
    pub(crate) bytes: Bytes,
}

/// Draws pictures anew, a few at a time, off the async threads.
#[derive(Debug, Clone)]
pub(crate) struct Studio(Arc<Semaphore>);

impl Studio {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(REDRAWN_AT_ONCE_MAX)))
    }

    /// The picture that this file holds.
    pub(crate) async fn redraw(&self, file: Bytes) -> Result<Picture, Problem> {
        let turn = timeout(TURN_LIMIT, Arc::clone(&self.0).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else {
            return Err(Problem::busy(
                "too many pictures are being worked on; try again in a moment",
            ));
        };
        let drawn = tokio::task::spawn_blocking(move || {
            // Held until the work is done, also when nobody waits for it any more.
            let _turn = turn;
            redraw::redraw(&file)
        });
        match drawn.await {
            Ok(drawn) => drawn.map_err(Problem::from),
            // A decoder that panics has met a file that it cannot read.
            Err(_) => Err(RedrawError::Unreadable.into()),
        }
    }
}
