//! Payments that were accepted as `processing` and are authorised by the passing of time.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;

use super::{Intent, Status, approve};
use crate::{
    Sandbox,
    error::Failure,
    work::{Cause, Work},
};

const BATCH: i64 = 50;

/// Settles what is due; tells how many.
pub(crate) async fn settle_due(sandbox: &Sandbox) -> Result<usize, Failure> {
    let due: Vec<String> = sqlx::query_scalar(
        "select id from sandbox.payment_intents where settles_at <= $1 order by settles_at limit $2",
    )
    .bind(Timestamp::now().to_sqlx())
    .bind(BATCH)
    .fetch_all(sandbox.pool())
    .await?;
    for id in &due {
        let mut work = Work::begin(sandbox.pool(), sandbox.config(), Cause::default()).await?;
        if let Some(mut intent) = Intent::lock(&mut work, id).await?
            && intent.status == Status::Processing
        {
            approve(&mut work, &mut intent).await?;
        }
        if work.commit().await? {
            sandbox.outbox().notify_one();
        }
    }
    Ok(due.len())
}
