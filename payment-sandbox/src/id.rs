//! Identifiers in Stripe's manner: a prefix that names the kind, then a time-ordered unique part.

use uuid::Uuid;

/// A new id, e.g. `pi_0197…`. Ids of one process sort by the time they were made.
pub(crate) fn new(prefix: &str) -> String {
    format!("{prefix}_{}", Uuid::now_v7().simple())
}

/// Whether this can be an id at all. Anything else is answered "no such object" without asking the database.
pub(crate) fn is_plausible(id: &str) -> bool {
    id.len() <= 100
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
