//! Paging: opaque cursors, the `limit` and `cursor` parameters, and the page that lists answer with.

use axum::extract::FromRequestParts;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::request::Parts;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::extract::Query;
use crate::problem::{FieldError, Problem};

/// How many rows a page has when the caller does not say.
pub const DEFAULT_LIMIT: u32 = 20;
/// How many rows a page has at most.
pub const MAX_LIMIT: u32 = 100;
/// A cursor longer than this was not made by us.
const MAX_CURSOR_CHARS: usize = 2 * 1024;

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The rows.
    pub data: Vec<T>,
    /// Send it as `cursor` to get the page after this one; absent (null) at the end.
    pub next_cursor: Option<String>,
    /// Whether there is a page after this one.
    pub has_more: bool,
}

impl<T> Page<T> {
    /// Makes a page of rows that were asked for with one row more than `limit` ([`PageRequest::fetch`]): the surplus row
    /// says that there is more, and is not shown. `key` is what the next page starts after.
    #[must_use]
    pub fn from_surplus<K: Serialize>(
        mut rows: Vec<T>,
        limit: u32,
        key: impl FnOnce(&T) -> K,
    ) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let has_more = rows.len() > limit;
        rows.truncate(limit);
        let next_cursor = if has_more {
            rows.last().map(|last| encode(&key(last)))
        } else {
            None
        };
        Self {
            data: rows,
            next_cursor,
            has_more,
        }
    }

    /// The same page with its rows turned into something else.
    #[must_use]
    pub fn map<U>(self, turn: impl FnMut(T) -> U) -> Page<U> {
        Page {
            data: self.data.into_iter().map(turn).collect(),
            next_cursor: self.next_cursor,
            has_more: self.has_more,
        }
    }
}

/// The parameters of every list, as they are documented.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageParams {
    /// How many rows, 1 to 100.
    #[param(minimum = 1, maximum = 100, default = 20)]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

impl PageParams {
    /// Checks the parameters; `K` is what the list's cursors carry.
    ///
    /// # Errors
    /// 422 for a limit that is not allowed, 400 `cursor_invalid` for a cursor that is not one of this list.
    pub fn read<K: DeserializeOwned>(&self) -> Result<PageRequest<K>, Problem> {
        let limit = self.limit.unwrap_or(DEFAULT_LIMIT);
        if !(1..=MAX_LIMIT).contains(&limit) {
            return Err(Problem::invalid(vec![FieldError {
                pointer: "/limit".to_owned(),
                code: "out_of_range".into(),
                detail: format!("limit is a number from 1 to {MAX_LIMIT}"),
            }]));
        }
        let after = self.cursor.as_deref().map(decode).transpose()?;
        Ok(PageRequest { limit, after })
    }
}

/// What page is asked for. As an extractor it reads `limit` and `cursor` and ignores other parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest<K> {
    /// How many rows to show.
    pub limit: u32,
    /// Where the page before ended.
    pub after: Option<K>,
}

impl<K> PageRequest<K> {
    /// How many rows to fetch: one more than is shown, for [`Page::from_surplus`].
    #[must_use]
    pub fn fetch(&self) -> i64 {
        i64::from(self.limit) + 1
    }
}

impl<S: Send + Sync, K: DeserializeOwned + Send> FromRequestParts<S> for PageRequest<K> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Query(params) = Query::<PageParams>::from_request_parts(parts, state).await?;
        params.read()
    }
}

/// The opaque text of a cursor. What cannot be serialised gives a cursor that starts from the beginning.
pub fn encode<K: Serialize>(key: &K) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(key).unwrap_or_default())
}

/// Reads a cursor back.
///
/// # Errors
/// 400 `cursor_invalid` when it is not one of this list.
pub fn decode<K: DeserializeOwned>(cursor: &str) -> Result<K, Problem> {
    let invalid = || {
        Problem::bad_request(
            "cursor_invalid",
            "the cursor is not one that this list has given out; start again without it",
        )
    };
    if cursor.len() > MAX_CURSOR_CHARS {
        return Err(invalid());
    }
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| invalid())?;
    serde_json::from_slice(&bytes).map_err(|_| invalid())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    type Key = (i64, Uuid);

    #[test]
    fn a_cursor_comes_back_as_it_was_given_out() {
        let key: Key = (-5, Uuid::from_u128(3));
        assert_eq!(decode::<Key>(&encode(&key)).unwrap(), key);
    }

    #[test]
    fn a_cursor_of_another_list_or_none_at_all_is_refused() {
        let other = encode(&"text");
        let long = "A".repeat(MAX_CURSOR_CHARS + 1);
        for bad in [other.as_str(), "", "%%%", "AAAA", long.as_str()] {
            let problem = decode::<Key>(bad).unwrap_err();
            assert_eq!(
                (problem.status().as_u16(), problem.code()),
                (400, "cursor_invalid")
            );
        }
    }

    #[test]
    fn the_surplus_row_says_that_there_is_more_and_is_not_shown() {
        let page = Page::from_surplus(vec![1, 2, 3], 2, |row| *row);
        assert_eq!(page.data, [1, 2]);
        assert!(page.has_more);
        assert_eq!(decode::<i32>(&page.next_cursor.unwrap()).unwrap(), 2);

        let last = Page::from_surplus(vec![1, 2], 2, |row| *row);
        assert!(!last.has_more);
        assert_eq!(last.next_cursor, None);
    }

    #[test]
    fn the_limit_is_twenty_unless_said_and_never_more_than_a_hundred() {
        let read = |limit| {
            PageParams {
                limit,
                cursor: None,
            }
            .read::<Key>()
        };
        assert_eq!(read(None).unwrap().limit, 20);
        assert_eq!(read(Some(100)).unwrap().fetch(), 101);
        for bad in [0, 101] {
            let problem = read(Some(bad)).unwrap_err();
            assert_eq!(problem.status().as_u16(), 422);
            assert_eq!(problem.body().errors[0].pointer, "/limit");
        }
    }
}
