//! Two projectors, one of which writes: killed, frozen, woken. The rows stay right, and nobody waits long.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use service_kit::postgres;
use testkit::{Layout, Person, Product, Role, within};
use tokio::time::Instant;
use uuid::Uuid;

use crate::crowd::Crowd;
use crate::rounds;
use crate::stage::{Broker, Stage};

/// The design promises 10 s; this machine may have other things to do.
const TAKEOVER_LIMIT: Duration = Duration::from_secs(20);
const QUESTION_LIMIT: Duration = Duration::from_secs(2);

impl Stage {
    /// The projector that writes.
    async fn writer(&self, database: &sqlx::PgPool) -> usize {
        let holder = within("some projector holds the lease", || async {
            let asked = "select holder from read.projector_lease where until > clock_timestamp()";
            sqlx::query_scalar::<_, String>(asked)
                .fetch_optional(database)
                .await
                .ok()?
        })
        .await;
        // The name of the instance, a slash, and what tells two lives of it apart.
        let (instance, _) = holder.split_once('/').unwrap();
        self.deployment.number(Role::Projector, instance)
    }

    /// How long it takes until a replica's rows show what is recorded now.
    async fn rows_are_current(&self, replica: usize, product: &mut Product) -> Duration {
        let begun = Instant::now();
        let admin = &self.market.admin;
        let path = format!("/v1/inventory/{}/receive", product.id);
        let key = Uuid::now_v7().to_string();
        let one_more = json!({"quantity": 1});
        let told = admin.insists(Method::POST, &path, &key, &one_more).await;
        let position = told.answer.position.unwrap();
        product.received += 1;
        let asking = admin.asking(replica);
        let path = format!("/v1/inventory/{}", product.id);
        within("the rows show it", || show(&asking, &path, position)).await;
        begun.elapsed()
    }
}

async fn show(who: &Person, path: &str, position: u64) -> Option<()> {
    let request = who
        .request(Method::GET, path)
        .timeout(QUESTION_LIMIT)
        .header("Waybill-Min-Position", position);
    let answer = testkit::Answer::hear(request).await.ok()?;
    (!answer.asks_for_patience()).then(|| drop(answer.ok()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projector_that_is_killed_or_frozen_is_followed_by_the_other_and_the_rows_stay_right() {
    let mut stage = Stage::on(Broker::one(), Layout::twice()).await;
    let database = stage.database().await;
    let plenty = stage.market.product(1000, 100_000).await;
    let mut probe = stage.market.product(1, 0).await;
    let crowd = Crowd::gathers(&stage, &plenty, 2).await;
    for round in 0..rounds(2, 8) {
        crowd.goes_on(10).await;
        let writer = stage.writer(&database).await;
        let other = 1 - writer;
        let frozen = round % 2 == 1;
        if frozen {
            stage.deployment.freeze(Role::Projector, writer).await;
        } else {
            stage.deployment.kill9(Role::Projector, writer).await;
        }
        let took = stage.rows_are_current(other, &mut probe).await;
        let how = if frozen { "frozen" } else { "killed" };
        eprintln!("a projector was {how}: the other's rows are current after {took:?}");
        assert!(took < TAKEOVER_LIMIT, "{how}: {took:?}");
        assert_eq!(stage.writer(&database).await, other);
        if frozen {
            stage.deployment.wake(Role::Projector, writer).await;
        } else {
            stage.deployment.again(Role::Projector, writer);
        }
        stage.deployment.ready().await;
        // Whoever asks the one that came back sees the same rows.
        stage.rows_are_current(writer, &mut probe).await;
        assert_eq!(
            stage.writer(&database).await,
            other,
            "a sleeper takes nothing back"
        );
    }
    let (plenty, heard) = crowd.ends().await;
    stage.books_balance(&[plenty, probe], &heard.accepted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projector_that_is_frozen_in_the_middle_of_a_transaction_holds_nobody_up() {
    let mut stage = Stage::on(Broker::one(), Layout::twice()).await;
    let database = stage.database().await;
    let mut probe = stage.market.product(1, 0).await;
    let writer = stage.writer(&database).await;
    stage.rows_are_current(writer, &mut probe).await;

    // It has moved its checkpoint and waits for the table when it is frozen; then it gets the table, and says no more.
    let mut ours = postgres::begin(&database).await.unwrap();
    sqlx::query("lock table read.inventory in exclusive mode")
        .execute(&mut *ours)
        .await
        .unwrap();
    let path = format!("/v1/inventory/{}/receive", probe.id);
    let one_more = json!({"quantity": 1});
    stage.market.admin.post(&path, &one_more).await.ok();
    probe.received += 1;
    within("the writer waits for the table", || async {
        let waiting = "select exists (select 1 from pg_locks where not granted and relation = 'read.inventory'::regclass)";
        let waiting: bool = sqlx::query_scalar(waiting).fetch_one(&database).await.unwrap();
        waiting.then_some(())
    })
    .await;
    stage.deployment.freeze(Role::Projector, writer).await;
    ours.rollback().await.unwrap();

    let took = stage.rows_are_current(1 - writer, &mut probe).await;
    eprintln!(
        "a projector was frozen in a transaction: the other's rows are current after {took:?}"
    );
    assert!(took < TAKEOVER_LIMIT, "{took:?}");
    stage.deployment.wake(Role::Projector, writer).await;
    stage.deployment.ready().await;
    stage.rows_are_current(writer, &mut probe).await;
    let stopped: Vec<String> =
        sqlx::query_scalar("select stopped from read.checkpoint where stopped is not null")
            .fetch_all(&database)
            .await
            .unwrap();
    assert_eq!(
        stopped,
        Vec::<String>::new(),
        "a sleeper stops nothing when it wakes up"
    );
    stage.books_balance(&[probe], &[].into()).await;
}
