//! Refunds whose outcome comes later: pending ones that succeed, and ones that seemed to and fail.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;

use super::Refund;
use crate::{
    Sandbox,
    charge::Charge,
    intent::Intent,
    work::{Cause, Work},
};

const BATCH: i64 = 50;

/// Settles what is due; tells how many.
pub(crate) async fn settle_due(sandbox: &Sandbox) -> Result<usize, sqlx::Error> {
    let due: Vec<(String, String)> = sqlx::query_as(
        "select id, payment_intent from sandbox.refunds where settles_at <= $1 order by settles_at limit $2",
    )
    .bind(Timestamp::now().to_sqlx())
    .bind(BATCH)
    .fetch_all(sandbox.pool())
    .await?;
    for (refund_id, intent_id) in &due {
        let mut work = Work::begin(sandbox.pool(), sandbox.config(), Cause::default()).await?;
        settle(&mut work, refund_id, intent_id).await?;
        if work.commit().await? {
            sandbox.outbox().notify_one();
        }
    }
    Ok(due.len())
}

async fn settle(work: &mut Work<'_>, refund_id: &str, intent_id: &str) -> Result<(), sqlx::Error> {
    let Some(intent) = Intent::lock(work, intent_id).await? else {
        return Ok(());
    };
    // Read under the intent's lock: another sandbox may have settled it meanwhile.
    let refund: Option<Refund> =
        sqlx::query_as("select * from sandbox.refunds where id = $1 and settles_at is not null")
            .bind(refund_id)
            .fetch_optional(&mut *work.tx)
            .await?;
    let (Some(mut refund), Some(mut charge)) = (refund, Charge::successful(work, intent_id).await?)
    else {
        return Ok(());
    };
    let failed = refund.settles_to.take().as_deref() == Some("failed");
    refund.settles_at = None;
    refund.status = if failed { "failed" } else { "succeeded" }.to_owned();
    if failed {
        refund.failure_reason = Some("expired_or_canceled_card".to_owned());
        // The money came back to the shop.
        charge.amount_refunded -= refund.amount;
        charge.save_amounts(work).await?;
    }
    sqlx::query(
        "update sandbox.refunds set status = $2, failure_reason = $3, settles_at = null, settles_to = null where id = $1",
    )
    .bind(&refund.id)
    .bind(&refund.status)
    .bind(&refund.failure_reason)
    .execute(&mut *work.tx)
    .await?;
    if failed {
        refund.announce(work, "refund.failed", &intent);
    }
    refund.announce(work, "refund.updated", &intent);
    refund.announce(work, "charge.refund.updated", &intent);
    Ok(())
}
