//! One writer at a time, whoever dies: nothing is lost, nothing is doubled.

use std::sync::Arc;
use std::time::Duration;

use event_schema::Position;
use service_kit::{Shutdown, postgres};
use tokio::time::Instant;

use super::fixtures::a_busy_day;
use crate::apply::{Applied, Applier};
use crate::parking::bigint;
use crate::read_models::{self, inventory::Inventory};
use crate::schema::Schema;
use crate::testing::stories::received;
use crate::testing::{Shop, eventually};
use crate::worker::LEASE;
use crate::{Personal, Workshop, worker_pool};

/// What the design promises.
const TAKEOVER_LIMIT: Duration = Duration::from_secs(10);

fn names() -> Vec<&'static str> {
    read_models::all()
        .iter()
        .map(|projection| projection.name())
        .collect()
}

/// Who holds the lease; nobody while the schema is still being made.
async fn holder(shop: &Shop) -> Option<String> {
    sqlx::query_scalar("select holder from read.projector_lease where until > now()")
        .fetch_optional(&shop.pool)
        .await
        .ok()?
}

#[tokio::test]
async fn when_the_writer_dies_another_takes_over_within_ten_seconds() {
    let shop = Shop::new().await;
    let shutdown = Shutdown::new();
    let (one, two) = (
        shop.worker(read_models::all(), "one"),
        shop.worker(read_models::all(), "two"),
    );
    let first = tokio::spawn(one.run(shutdown.clone()));
    eventually("the first one writes", async || {
        holder(&shop)
            .await
            .filter(|holder| holder.starts_with("one/"))
    })
    .await;
    let second = tokio::spawn(two.run(shutdown.clone()));
    a_busy_day(&shop, 3).await;
    shop.wait_until_caught_up(&names()).await;
    assert!(
        holder(&shop).await.unwrap().starts_with("one/"),
        "a second worker waits for its turn"
    );

    // Dies without giving the lease back.
    first.abort();
    let died = Instant::now();
    let orders = a_busy_day(&shop, 3).await;
    shop.wait_until_caught_up(&names()).await;
    assert!(died.elapsed() < TAKEOVER_LIMIT, "{:?}", died.elapsed());
    assert!(holder(&shop).await.unwrap().starts_with("two/"));
    shop.happens([received(orders[0].product, 1)]).await;
    shop.wait_until_caught_up(&names()).await;
    shutdown.begin();
    second.await.unwrap();
    assert_eq!(
        holder(&shop).await,
        None,
        "who ends in peace gives the lease back"
    );
}

#[tokio::test]
async fn a_writer_who_is_killed_again_and_again_loses_nothing_and_doubles_nothing() {
    let shop = Shop::new().await;
    crate::migrate(&shop.pool).await.unwrap();
    let filling = async {
        for _ in 0..12 {
            a_busy_day(&shop, 3).await;
        }
    };
    let killing = async {
        for round in 0..12_u64 {
            let worker = shop.worker(read_models::all(), &format!("round {round}"));
            let running = tokio::spawn(worker.run(Shutdown::new()));
            // Somewhere in the middle of whatever it is doing; a different somewhere each time.
            tokio::time::sleep(Duration::from_millis(30 + 23 * round)).await;
            running.abort();
            let _killed = running.await;
            shop.lease_runs_out().await;
        }
    };
    tokio::join!(filling, killing);
    let shop = shop.open().await;
    shop.catch_up().await;
    for projection in read_models::all() {
        let verified = shop
            .workshop
            .verify(projection.name(), |_| {})
            .await
            .unwrap();
        assert_eq!(verified.difference, None, "{}", projection.name());
    }
    assert_eq!(shop.shop.rows().await["orders"].len(), 36);
}

#[tokio::test]
async fn a_sleeper_who_lost_the_lease_commits_nothing() {
    let shop = Shop::new().await;
    crate::migrate(&shop.pool).await.unwrap();
    let mut connection = shop.pool.acquire().await.unwrap();
    crate::checkpoint::ensure(&mut connection, &Schema::LIVE, &["inventory"])
        .await
        .unwrap();
    drop(connection);
    let lend = async |holder: &str| {
        sqlx::query(
            "insert into read.projector_lease (name, holder, until) values ('worker', $1, 'infinity')
             on conflict (name) do update set holder = excluded.holder",
        )
        .bind(holder)
        .execute(&shop.pool)
        .await
        .unwrap();
    };
    let applier = |holder: &str| Applier {
        projection: Arc::new(Inventory),
        schema: Schema::LIVE,
        personal: Personal::new(shop.vault.clone()),
        holder: holder.into(),
        log: "log".into(),
    };
    let mug = uuid::Uuid::now_v7();
    shop.happens([received(mug, 1)]).await;
    shop.happens([received(mug, 2)]).await;
    let events = shop.store.read(Position(0), 10, None).await.unwrap();
    let pool = worker_pool(&shop.pool);

    lend("awake").await;
    let sleeper = applier("sleeper")
        .apply(&pool, Position(0), &events, 0.0)
        .await
        .unwrap();
    assert_eq!(sleeper, Applied::TakenOver);
    let awake = applier("awake");
    assert!(matches!(
        awake
            .apply(&pool, Position(0), &events[..1], 0.0)
            .await
            .unwrap(),
        Applied::Committed { .. }
    ));
    // The same batch once more, as after an answer that was lost: the checkpoint is not where it was believed to be.
    assert_eq!(
        awake
            .apply(&pool, Position(0), &events[..1], 0.0)
            .await
            .unwrap(),
        Applied::TakenOver
    );
    let (received, position): (i64, i64) = sqlx::query_as(
        "select received, (select position from read.checkpoint where projection = 'inventory') from read.inventory",
    )
    .fetch_one(&shop.pool)
    .await
    .unwrap();
    assert_eq!((received, position), (1, bigint(Position(1))));
}

#[tokio::test]
async fn a_writer_who_sleeps_in_the_middle_of_a_batch_lets_go_of_its_rows_before_the_lease_is_over()
{
    let shop = Shop::new().await;
    crate::migrate(&shop.pool).await.unwrap();
    let mut connection = shop.pool.acquire().await.unwrap();
    crate::checkpoint::ensure(&mut connection, &Schema::LIVE, &["inventory"])
        .await
        .unwrap();
    let lock = "select 1 from read.checkpoint where projection = 'inventory' for update";
    let mut sleeper = postgres::begin(&worker_pool(&shop.pool)).await.unwrap();
    sqlx::query(lock).execute(&mut *sleeper).await.unwrap();

    let awake = tokio::time::timeout(LEASE, sqlx::query(lock).execute(&mut *connection)).await;
    awake
        .expect("the rows are free before the lease is over")
        .unwrap();
    // The sleeper finds out when it wakes up, and that is no fault of the projection's.
    let error = sqlx::query(lock).execute(&mut *sleeper).await.unwrap_err();
    assert!(postgres::is_unavailable(&error), "{error:?}");
}

#[tokio::test]
async fn a_worker_without_a_database_goes_on_when_it_is_back() {
    let shop = Shop::new().await;
    let shutdown = Shutdown::new();
    let running = tokio::spawn(shop.worker(read_models::all(), "one").run(shutdown.clone()));
    a_busy_day(&shop, 3).await;
    shop.wait_until_caught_up(&names()).await;
    // Every connection breaks at once, again and again, while things happen.
    for _ in 0..5 {
        sqlx::query(
            "select pg_terminate_backend(pid) from pg_stat_activity
             where datname = current_database() and pid <> pg_backend_pid()",
        )
        .execute(&shop.pool)
        .await
        .unwrap();
        let _refused_while_broken = shop.pool.acquire().await;
        a_busy_day(&shop, 1).await;
    }
    shop.wait_until_caught_up(&names()).await;
    shutdown.begin();
    running.await.unwrap();
    let workshop = Workshop::new(&shop.pool, Arc::clone(&shop.store), shop.vault.clone());
    for name in names() {
        assert_eq!(
            workshop.verify(name, |_| {}).await.unwrap().difference,
            None,
            "{name}"
        );
    }
}
