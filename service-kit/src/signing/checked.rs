//! Tokens whose signature was found good: checking it again costs more than everything else about a small request.
//! Only what cannot change is remembered. Whether the time is over, or the session, is asked each time.

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest;
use lru::LruCache;

use crate::auth::Caller;

/// Most tokens remembered, of some hundred bytes each; those that were not used for longest are forgotten first.
const TOKENS_MAX: NonZeroUsize = match NonZeroUsize::new(16_384) {
    Some(tokens) => tokens,
    None => NonZeroUsize::MIN,
};

/// A token is kept as its hash, so that the memory of a process holds no more of them than it has to.
type Key = [u8; digest::SHA256_OUTPUT_LEN];

/// What a good token says.
#[derive(Debug, Clone)]
pub(super) struct Checked {
    pub(super) caller: Caller,
    /// In seconds since 1970.
    pub(super) expires: i64,
}

/// The bounded memory.
pub(super) struct CheckedTokens(Mutex<LruCache<Key, Checked>>);

impl Default for CheckedTokens {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(TOKENS_MAX)))
    }
}

impl CheckedTokens {
    fn tokens(&self) -> MutexGuard<'_, LruCache<Key, Checked>> {
        // Each use is one call of the cache: a panic elsewhere cannot leave it half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the very same text was found to say before.
    pub(super) fn get(&self, token: &str) -> Option<Checked> {
        self.tokens().get(&key(token)?).cloned()
    }

    /// Remembers one that was found good.
    pub(super) fn put(&self, token: &str, checked: Checked) {
        if let Some(key) = key(token) {
            self.tokens().put(key, checked);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.tokens().len()
    }
}

fn key(token: &str) -> Option<Key> {
    let hash = digest::digest(&digest::SHA256, token.as_bytes());
    hash.as_ref().try_into().ok()
}
