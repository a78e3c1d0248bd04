//! Pictures that were replaced, or stored for a command that never happened, are removed: late, when no reader can be
//! so far behind that it still names them, and one by one. Any number of replicas may do this, and die in the middle.

use std::collections::HashMap;
use std::time::Duration;

use event_schema::Timestamp;
use event_store::Freshness;
use jiff::SignedDuration;
use tokio::time::timeout;
use uuid::Uuid;

use domain::customer::Customer;
use service_kit::Shutdown;
use service_kit::pictures::{PictureError, Pictures, Stored};

use crate::door::{Door, LOG_LIMIT};

const PERIOD: Duration = Duration::from_secs(15 * 60);
/// A picture stays at least this long after the one that replaced it was stored.
const GRACE: SignedDuration = SignedDuration::from_mins(10);
/// People whose files are looked at in one round; the rest is for the next one.
const PEOPLE_PER_ROUND_MAX: usize = 10_000;

/// Tidies until the shutdown begins.
pub(crate) async fn run(door: &Door, shutdown: &Shutdown) {
    loop {
        tokio::select! {
            done = round(door, GRACE) => if let Err(error) = done {
                tracing::warn!(%error, "pictures that were replaced could not be removed; it is tried again");
            },
            () = shutdown.begun() => return,
        }
        tokio::select! {
            () = tokio::time::sleep(PERIOD) => {}
            () = shutdown.begun() => return,
        }
    }
}

/// Removes what nobody names any more. Says how much it was.
pub(crate) async fn round(door: &Door, grace: SignedDuration) -> Result<usize, PictureError> {
    let mut files: HashMap<Uuid, usize> = HashMap::new();
    door.pictures
        .each(|stored| {
            if files.len() < PEOPLE_PER_ROUND_MAX || files.contains_key(&stored.person) {
                *files.entry(stored.person).or_default() += 1;
            }
        })
        .await?;
    let mut removed = 0;
    // Whoever has one file has his picture, or one that was stored for nothing and is replaced or erased one day.
    for (person, _) in files.into_iter().filter(|(_, count)| *count > 1) {
        let load = door.executor.load::<Customer>(person, Freshness::Leader);
        // Not known is not a reason to remove anything.
        let Ok(Ok(loaded)) = timeout(LOG_LIMIT, load).await else {
            continue;
        };
        let Some(current) = loaded
            .state
            .details()
            .and_then(|known| known.avatar.clone())
        else {
            continue;
        };
        removed += sweep(&door.pictures, person, &current, door.clock.now(), grace).await?;
    }
    Ok(removed)
}

async fn sweep(
    pictures: &Pictures,
    person: Uuid,
    current: &str,
    now: Timestamp,
    grace: SignedDuration,
) -> Result<usize, PictureError> {
    let settled = |at: Timestamp| now.duration_since(at) >= grace;
    match pictures.stored_at(person, current).await? {
        Some(at) if settled(at) => {}
        _ => return Ok(0),
    }
    let mut removed = 0;
    for Stored { digest, .. } in pictures.of(person).await? {
        if digest == current {
            continue;
        }
        // Looked at just before: it may have been sent again, and then a command is about to name it.
        if pictures
            .stored_at(person, &digest)
            .await?
            .is_some_and(settled)
        {
            pictures.remove(person, &digest).await?;
            removed += 1;
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const OLD: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const NEW: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    #[tokio::test]
    async fn a_replaced_picture_stays_for_a_while_and_the_current_one_for_ever() {
        let pictures = Pictures::in_memory();
        let ada = Uuid::now_v7();
        for digest in [OLD, NEW] {
            pictures
                .put(ada, digest, Bytes::from_static(b"x"))
                .await
                .unwrap();
        }
        let now = Timestamp::now();
        assert_eq!(sweep(&pictures, ada, NEW, now, GRACE).await.unwrap(), 0);
        let later = now + GRACE + SignedDuration::from_secs(1);
        assert_eq!(sweep(&pictures, ada, NEW, later, GRACE).await.unwrap(), 1);
        assert_eq!(sweep(&pictures, ada, NEW, later, GRACE).await.unwrap(), 0);
        assert_eq!(pictures.get(ada, OLD).await.unwrap(), None);
        assert!(pictures.get(ada, NEW).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn nothing_is_removed_while_the_current_picture_is_not_there() {
        let pictures = Pictures::in_memory();
        let ada = Uuid::now_v7();
        pictures
            .put(ada, OLD, Bytes::from_static(b"x"))
            .await
            .unwrap();
        let later = Timestamp::now() + GRACE + GRACE;
        assert_eq!(sweep(&pictures, ada, NEW, later, GRACE).await.unwrap(), 0);
        assert!(pictures.get(ada, OLD).await.unwrap().is_some());
    }
}
