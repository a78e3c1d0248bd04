//! One round of deliveries: claim what is due, send it, note how that went.

use std::time::Duration;

use futures::{StreamExt, stream};
use http::header;
use jiff::{SignedDuration, Timestamp};
use jiff_sqlx::ToSqlx;
use reqwest::{Client, Url};
use secrecy::ExposeSecret;
use sqlx::FromRow;

use super::signature;
use crate::Sandbox;

/// A receiver that has not answered by then has not accepted.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(10);

const CLAIM_MAX: i64 = 64;
const IN_FLIGHT_MAX: usize = 16;
/// How long a claim keeps other deliverers away: longer than a round can take (batches of the claim, one after another).
const LEASE: SignedDuration = SignedDuration::from_secs(60);
/// An older event of the same object holds the next one back until it was refused this often.
const ATTEMPTS_IN_ORDER: i32 = 5;
const RETRY_FIRST_MS: u64 = 500;
const RETRY_MOST_MS: u64 = 3_600_000;
const GIVE_UP_AFTER: SignedDuration = SignedDuration::from_hours(72);
const ERROR_CHARS_MAX: usize = 300;

#[derive(Debug, FromRow)]
struct Claimed {
    seq: i64,
    id: String,
    #[sqlx(rename = "type")]
    kind: String,
    body: String,
    attempts: i32,
    created_at: jiff_sqlx::Timestamp,
}

/// Makes everything that waits for its next attempt due now.
pub(super) async fn hasten(sandbox: &Sandbox) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update sandbox.events set next_attempt_at = $1
         where delivered_at is null and gave_up_at is null and next_attempt_at > $1",
    )
    .bind(Timestamp::now().to_sqlx())
    .execute(sandbox.pool())
    .await?;
    Ok(())
}

/// What came of a round.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Round {
    /// Events that were tried.
    pub(super) tried: usize,
    /// Those of them that were not accepted.
    pub(super) refused: usize,
}

/// Delivers what is due.
pub(super) async fn deliver_due(
    sandbox: &Sandbox,
    client: &Client,
    url: &Url,
) -> Result<Round, sqlx::Error> {
    let claimed = claim(sandbox).await?;
    let mut round = Round {
        tried: claimed.len(),
        refused: 0,
    };
    // What was answered meanwhile is noted together; nobody waits for a receiver that is slow.
    let mut answers = stream::iter(claimed)
        .map(|event| send(sandbox, client, url, event))
        .buffer_unordered(IN_FLIGHT_MAX)
        .ready_chunks(IN_FLIGHT_MAX);
    let mut failed = None;
    while let Some(answers) = answers.next().await {
        let refused = |answer: &&Answer| matches!(answer, Answer::Refused(..));
        round.refused += answers.iter().filter(refused).count();
        failed = note(sandbox, answers).await.err().or(failed);
    }
    failed.map_or(Ok(round), Err)
}

/// Nobody waits for the disk here, nor when an answer is noted: what a crash takes back is sent once more.
async fn claim(sandbox: &Sandbox) -> Result<Vec<Claimed>, sqlx::Error> {
    let now = Timestamp::now();
    sqlx::query_as(
        "with due as (
             select event.seq from sandbox.events event
             where event.delivered_at is null and event.gave_up_at is null and event.next_attempt_at <= $1
               and not exists (
                   select 1 from sandbox.events earlier
                   where earlier.object_key = event.object_key and earlier.seq < event.seq
                     and earlier.delivered_at is null and earlier.gave_up_at is null and earlier.attempts < $4)
             order by event.next_attempt_at, event.seq
             limit $3
             for update of event skip locked)
         update sandbox.events event set attempts = event.attempts + 1, next_attempt_at = $2
         from due, (select set_config('synchronous_commit', 'off', true)) as unhurried where event.seq = due.seq
         returning event.seq, event.id, event.type, event.body, event.attempts, event.created_at",
    )
    .bind(now.to_sqlx())
    .bind((now + LEASE).to_sqlx())
    .bind(CLAIM_MAX)
    .bind(ATTEMPTS_IN_ORDER)
    .fetch_all(sandbox.pool())
    .await
}

/// What came of one attempt.
enum Answer {
    Accepted { seq: i64, status: u16 },
    Refused(Refusal),
}

/// An attempt that was not accepted, and why in one line.
struct Refusal {
    event: Claimed,
    status: Option<u16>,
    error: String,
}

async fn send(sandbox: &Sandbox, client: &Client, url: &Url, event: Claimed) -> Answer {
    let secret = sandbox.config().webhook_secret.expose_secret();
    let signed = signature(secret, Timestamp::now().as_second(), &event.body);
    let answer = client
        .post(url.clone())
        .header(header::CONTENT_TYPE, "application/json; charset=utf-8")
        .header("Stripe-Signature", signed)
        .body(event.body.clone())
        .send()
        .await;
    let (status, error) = match answer {
        Ok(answer) if answer.status().is_success() => {
            return Answer::Accepted {
                seq: event.seq,
                status: answer.status().as_u16(),
            };
        }
        Ok(answer) => {
            let status = answer.status().as_u16();
            (Some(status), format!("answered {status}"))
        }
        Err(error) => (None, in_one_line(&error)),
    };
    Answer::Refused(Refusal {
        event,
        status,
        error,
    })
}

async fn note(sandbox: &Sandbox, answers: Vec<Answer>) -> Result<(), sqlx::Error> {
    let (mut seqs, mut statuses, mut refusals) = (Vec::new(), Vec::new(), Vec::new());
    for answer in answers {
        match answer {
            Answer::Accepted { seq, status } => {
                seqs.push(seq);
                statuses.push(i32::from(status));
            }
            Answer::Refused(refusal) => refusals.push(refusal),
        }
    }
    // One that cannot be noted keeps nobody from the other.
    let accepted = match seqs.is_empty() {
        true => Ok(()),
        false => accepted(sandbox, &seqs, &statuses).await,
    };
    let refused = match refusals.is_empty() {
        true => Ok(()),
        false => refused(sandbox, &refusals).await,
    };
    accepted.and(refused)
}

async fn accepted(sandbox: &Sandbox, seqs: &[i64], statuses: &[i32]) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update sandbox.events event set delivered_at = $3, last_status = answer.status, last_error = null
         from unnest($1::bigint[], $2::int[]) as answer (seq, status),
              (select set_config('synchronous_commit', 'off', true)) as unhurried
         where event.seq = answer.seq and event.delivered_at is null",
    )
    .bind(seqs)
    .bind(statuses)
    .bind(Timestamp::now().to_sqlx())
    .execute(sandbox.pool())
    .await?;
    Ok(())
}

/// Plans the next attempts. What an event of the same object holds back is planned with it: else every claim would look
/// at all of that again.
async fn refused(sandbox: &Sandbox, refusals: &[Refusal]) -> Result<(), sqlx::Error> {
    let now = Timestamp::now();
    let (mut seqs, mut attempts, mut statuses) = (Vec::new(), Vec::new(), Vec::new());
    let (mut errors, mut delays, mut given_up) = (Vec::new(), Vec::new(), Vec::new());
    for Refusal {
        event,
        status,
        error,
    } in refusals
    {
        let gives_up = now.duration_since(event.created_at.to_jiff()) > GIVE_UP_AFTER;
        if gives_up {
            tracing::warn!(event.id, event.type = event.kind, error, "a webhook was refused for three days and is given up");
        } else {
            tracing::debug!(event.id, event.type = event.kind, event.attempts, error, "a webhook was not accepted");
        }
        seqs.push(event.seq);
        attempts.push(event.attempts);
        statuses.push(status.map(i32::from));
        errors.push(error.as_str());
        delays.push(i64::try_from(retry_delay(event.attempts).as_millis()).unwrap_or(i64::MAX));
        given_up.push(gives_up);
    }
    // Only the claim that is still the latest may say when the next attempt is.
    sqlx::query(
        "with refused as (
             update sandbox.events event
             set last_status = answer.status, last_error = answer.error,
                 next_attempt_at = $7 + answer.delay * interval '1 millisecond',
                 gave_up_at = case when answer.given_up then $7 end
             from unnest($1::bigint[], $2::int[], $3::int[], $4::text[], $5::bigint[], $6::bool[])
                  as answer (seq, attempts, status, error, delay, given_up),
                  (select set_config('synchronous_commit', 'off', true)) as unhurried
             where event.seq = answer.seq and event.attempts = answer.attempts and event.delivered_at is null
             returning event.object_key, event.seq, event.attempts, event.next_attempt_at, event.gave_up_at)
         update sandbox.events later set next_attempt_at = refused.next_attempt_at
         from refused
         where refused.attempts < $8 and refused.gave_up_at is null
           and later.object_key = refused.object_key and later.seq > refused.seq and later.attempts = 0
           and later.delivered_at is null and later.gave_up_at is null
           and later.next_attempt_at < refused.next_attempt_at",
    )
    .bind(seqs)
    .bind(attempts)
    .bind(statuses)
    .bind(errors)
    .bind(delays)
    .bind(given_up)
    .bind(now.to_sqlx())
    .bind(ATTEMPTS_IN_ORDER)
    .execute(sandbox.pool())
    .await?;
    Ok(())
}

/// Doubles from half a second to an hour.
fn retry_delay(attempts: i32) -> Duration {
    let doublings = u32::try_from(attempts.saturating_sub(1))
        .unwrap_or_default()
        .min(20);
    Duration::from_millis(
        RETRY_FIRST_MS
            .saturating_mul(1 << doublings)
            .min(RETRY_MOST_MS),
    )
}

fn in_one_line(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        line = format!("{line}: {cause}");
        source = cause.source();
    }
    line.chars().take(ERROR_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_from_half_a_second_to_an_hour() {
        assert_eq!(retry_delay(1), Duration::from_millis(500));
        assert_eq!(retry_delay(2), Duration::from_secs(1));
        assert_eq!(retry_delay(5), Duration::from_secs(8));
        assert_eq!(retry_delay(100), Duration::from_secs(3600));
        assert_eq!(retry_delay(i32::MAX), Duration::from_secs(3600));
    }
}
