//! The pool against a real Postgres: no transaction outlives its owner, nothing runs or waits without a limit.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::time::{Duration, Instant};

use secrecy::SecretString;
use service_kit::postgres;
use sqlx::PgPool;

async fn pool(max: u32) -> PgPool {
    let url = SecretString::from(dev_servers::fresh_database().await.unwrap());
    postgres::connect(&url, "pool-test", max).await.unwrap()
}

/// Whether the connection that the next user gets has a transaction open.
async fn is_poisoned(pool: &PgPool) -> bool {
    let mut connection = pool.acquire().await.unwrap();
    // Inside a transaction both statements see the time at which it began.
    let mut times = Vec::new();
    for _ in 0..2 {
        let (time,): (f64,) = sqlx::query_as("select extract(epoch from now())::float8")
            .fetch_one(&mut *connection)
            .await
            .unwrap();
        times.push(time);
    }
    times[0] >= times[1]
}

/// Drops futures that open a transaction at every moment of their life, and counts how often the next user of the
/// connection finds a transaction that is not his. The runtime's timers are too coarse to cancel by: the whole opening
/// takes less than their one millisecond.
async fn poisoned_by_cancelling<F, T>(pool: &PgPool, open: impl Fn(PgPool) -> F) -> usize
where
    F: Future<Output = T>,
{
    let mut poisoned = 0;
    for round in 0..300 {
        {
            let mut opening = std::pin::pin!(open(pool.clone()));
            for _poll in 0..=(round % 30) {
                if futures::poll!(opening.as_mut()).is_ready() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        poisoned += usize::from(is_poisoned(pool).await);
    }
    poisoned
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_opening_of_a_transaction_that_is_cancelled_leaves_none_behind() {
    let pool = pool(1).await;
    let poisoned = poisoned_by_cancelling(&pool, |pool| async move {
        drop(postgres::begin(&pool).await);
    });
    assert_eq!(poisoned.await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn also_the_drivers_own_begin_is_cleaned_up_when_the_connection_comes_back() {
    let pool = pool(1).await;
    let poisoned = poisoned_by_cancelling(&pool, |pool| async move {
        #[expect(
            clippy::disallowed_methods,
            reason = "the very call whose trap is tested"
        )]
        let opened = pool.begin().await;
        drop(opened);
    });
    assert_eq!(poisoned.await, 0);
}

#[tokio::test]
async fn a_transaction_commits_and_rolls_back_as_it_should() {
    let pool = pool(2).await;
    sqlx::query("create table t (n int)")
        .execute(&pool)
        .await
        .unwrap();
    let mut kept = postgres::begin(&pool).await.unwrap();
    sqlx::query("insert into t values (1)")
        .execute(&mut *kept)
        .await
        .unwrap();
    kept.commit().await.unwrap();
    let mut dropped = postgres::begin(&pool).await.unwrap();
    sqlx::query("insert into t values (2)")
        .execute(&mut *dropped)
        .await
        .unwrap();
    drop(dropped);
    let rows: Vec<(i32,)> = sqlx::query_as("select n from t")
        .fetch_all(&pool)
        .await
        .unwrap();
    assert_eq!(rows, [(1,)]);
}

#[tokio::test]
async fn statements_and_forgotten_transactions_have_limits() {
    let pool = pool(1).await;
    for (setting, value) in [
        ("statement_timeout", "30s"),
        ("idle_in_transaction_session_timeout", "1min"),
        ("application_name", "pool-test"),
    ] {
        let (shown,): (String,) = sqlx::query_as("select current_setting($1)")
            .bind(setting)
            .fetch_one(&pool)
            .await
            .unwrap();
        assert_eq!(shown, value, "{setting}");
    }
}

#[tokio::test]
async fn waiting_for_a_free_connection_ends_after_three_seconds_as_database_unavailable() {
    let pool = pool(1).await;
    let _held = pool.acquire().await.unwrap();
    let started = Instant::now();
    let error = postgres::begin(&pool).await.unwrap_err();
    assert!(postgres::is_unavailable(&error), "{error}");
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_wrong_password_or_database_is_refused_at_once_with_the_servers_name() {
    let url = dev_servers::fresh_database().await.unwrap();
    let (base, _) = url.rsplit_once('/').unwrap();
    let started = Instant::now();
    let error = postgres::connect(
        &SecretString::from(format!("{base}/no_such_database")),
        "test",
        1,
    )
    .await
    .unwrap_err();
    assert!(
        matches!(error, postgres::ConnectError::Refused { .. }),
        "{error}"
    );
    assert!(error.to_string().contains("no_such_database"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_wrong_statement_is_not_taken_for_an_absent_database() {
    let pool = pool(1).await;
    let error = sqlx::query("selekt 1").execute(&pool).await.unwrap_err();
    assert!(!postgres::is_unavailable(&error));
}

#[tokio::test]
async fn a_database_that_nobody_migrates_is_noticed_and_one_that_is_migrated_meanwhile_is_waited_for()
 {
    let pool = pool(4).await;
    let migrator = service_kit::vault::migrator();
    let waiting = {
        let pool = pool.clone();
        tokio::spawn(async move {
            postgres::wait_until_migrated(&pool, &service_kit::vault::migrator()).await
        })
    };
    assert!(!waiting.is_finished());
    postgres::migrate(&pool, &migrator).await.unwrap();
    tokio::time::timeout(Duration::from_secs(10), waiting)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_database_that_goes_away_is_unavailable_and_serves_again_when_it_is_back() {
    let server = dev_servers::Postgres::temporary().unwrap();
    let url = SecretString::from(server.fresh_database().await.unwrap());
    let pool = postgres::connect(&url, "pool-test", 4).await.unwrap();
    sqlx::query("select 1").execute(&pool).await.unwrap();

    server.kill9();
    for _ in 0..3 {
        let error = postgres::begin(&pool).await.unwrap_err();
        assert!(postgres::is_unavailable(&error), "{error:?}");
    }
    server.restart().unwrap();
    let back = async {
        while let Err(error) = sqlx::query("select 1").execute(&pool).await {
            assert!(postgres::is_unavailable(&error), "{error:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), back)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_role_that_starts_before_its_database_waits_for_it() {
    let server = dev_servers::Postgres::temporary().unwrap();
    let url = SecretString::from(server.fresh_database().await.unwrap());
    server.kill9();
    let connecting = tokio::spawn(async move { postgres::connect(&url, "pool-test", 1).await });
    tokio::task::yield_now().await;
    assert!(!connecting.is_finished());
    server.restart().unwrap();
    tokio::time::timeout(Duration::from_secs(30), connecting)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
}
