//! A steady trickle of commands, each counted from when it was due: a sender that is late hides nothing.

use std::time::{Duration, Instant};

use event_schema::ids::CommandId;
use event_schema::{Actor, Metadata, Position, Timestamp};
use event_store::{Executor, Stop, Work};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use uuid::Uuid;

use super::raw::a_receipt;
use super::times::Times;

/// What came of a trickle.
pub struct Trickled {
    /// How many commands were sent; all of them were answered.
    pub commands: u64,
    /// How long it took until the last answer.
    pub took: Duration,
    /// From when each was due to its answer.
    pub times: Times,
}

/// Sends so many a second for a while. What is sent is made from its number and from when it is due; the first failure
/// ends all.
pub async fn trickle<S>(
    rate: u32,
    time: Duration,
    mut send: impl FnMut(usize, Instant) -> S,
) -> anyhow::Result<Trickled>
where
    S: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let (begun, mut times) = (Instant::now(), Times::new()?);
    let mut ticks = interval(Duration::from_secs(1) / rate);
    // A late tick is made up for at once.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (mut commands, mut sending) = (0, JoinSet::new());
    for number in 0.. {
        let due = ticks.tick().await.into_std();
        if due.saturating_duration_since(begun) >= time {
            break;
        }
        let sent = send(number, due);
        sending.spawn(async move {
            sent.await?;
            anyhow::Ok(due.elapsed())
        });
        commands += 1;
        while let Some(ended) = sending.try_join_next() {
            times.record(ended??);
        }
    }
    while let Some(ended) = sending.join_next().await {
        times.record(ended??);
    }
    Ok(Trickled {
        commands,
        took: begun.elapsed(),
        times,
    })
}

/// A receipt of a product's units; answers where it is in the log.
pub async fn receive(executor: &Executor, product: Uuid) -> anyhow::Result<Position> {
    let metadata = Metadata::new(CommandId(Uuid::now_v7()), Actor::system(), Timestamp::now());
    let decide = |work: &mut Work| {
        work.decide::<domain::inventory::Inventory>(product, a_receipt())?;
        Ok::<_, Stop<domain::inventory::Rejection>>(())
    };
    Ok(executor.execute(metadata, None, decide).await?.position)
}
