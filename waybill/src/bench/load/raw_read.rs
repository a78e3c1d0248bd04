//! The broker's limit for reading one subject: batched direct gets, and nothing done with the messages.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use async_nats::Client;
use async_trait::async_trait;
use event_schema::{Decider, EventSet, Subject};
use event_store::topology::EVENTS;
use futures::StreamExt as _;
use serde_json::json;
use tokio::time::timeout;
use uuid::Uuid;

use super::Restarts;
use crate::bench::race::{Contestant, Sample};
use crate::bench::times::Times;

const MESSAGE_LIMIT: Duration = Duration::from_secs(10);
/// Most messages of one read: all of them, because a read that does not begin where the log does first counts what is left.
const PAGE: usize = 100_000;

/// Every subject once.
pub struct RawReads {
    client: Client,
    subjects: Vec<Subject>,
    events: u32,
    broker: Option<Restarts>,
}

impl RawReads {
    pub fn new(client: &Client, ids: &[Uuid], events: u32, broker: Option<Restarts>) -> Self {
        let aggregate = <domain::inventory::Inventory as Decider>::Event::AGGREGATE;
        let subjects = ids
            .iter()
            .map(|id| Subject::history(aggregate, *id))
            .collect();
        Self {
            client: client.clone(),
            subjects,
            events,
            broker,
        }
    }
}

#[async_trait]
impl Contestant for RawReads {
    async fn run(&mut self, _: Duration) -> anyhow::Result<Sample> {
        if let Some(broker) = &self.broker {
            broker.restart().await?;
            // This connection comes back by itself; the first read must not pay for that.
            self.client.request("$JS.API.INFO", "".into()).await.ok();
        }
        let (mut took, mut times, mut events) = (Duration::ZERO, Times::new()?, 0);
        for subject in &self.subjects {
            let begun = Instant::now();
            let read = read(&self.client, subject).await?;
            times.record(begun.elapsed());
            took += begun.elapsed();
            if read != u64::from(self.events) {
                bail!(
                    "{read} messages were read of a subject that has {}",
                    self.events
                );
            }
            events += read;
        }
        let amounts = vec![("loads", self.subjects.len() as u64), ("events", events)];
        Ok(Sample {
            took,
            amounts,
            times: Some(times),
        })
    }
}

/// All messages of a subject, page by page; answers how many.
async fn read(client: &Client, subject: &Subject) -> anyhow::Result<u64> {
    let (mut from, mut read) = (1_u64, 0);
    loop {
        let inbox = client.new_inbox();
        let mut answers = client.subscribe(inbox.clone()).await?;
        let body = json!({ "seq": from, "batch": PAGE, "next_by_subj": subject.as_str() });
        client
            .publish_with_reply(
                format!("$JS.API.DIRECT.GET.{EVENTS}"),
                inbox,
                body.to_string().into(),
            )
            .await?;
        loop {
            let message = timeout(MESSAGE_LIMIT, answers.next())
                .await?
                .context("the connection was lost")?;
            let number = |name: &str| {
                message
                    .headers
                    .as_ref()?
                    .get(name)?
                    .as_str()
                    .parse::<u64>()
                    .ok()
            };
            match message.status.map(|status| status.as_u16()) {
                None => {
                    read += 1;
                    from = number("Nats-Sequence").context("a message without its place")? + 1;
                }
                Some(204) if number("Nats-Num-Pending").unwrap_or(0) > 0 => break,
                Some(204 | 404) => return Ok(read),
                Some(status) => bail!("the broker answered a read with {status}"),
            }
        }
    }
}
