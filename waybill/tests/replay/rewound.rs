//! A log that is not what it was: made anew, restored from an older copy, robbed of its tail. Each is done, under a shop
//! that runs or while it is down; nothing may be overwritten, the reason must be plain, and the way back must work. The
//! roles as processes of their own are in tests/rewound.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;
use testkit::{Shop, within};

use crate::ground::{Ground, confirmed, names};

/// What `/readyz?verbose` says when it is not ready; none when it is.
async fn not_ready(shop: &Shop) -> Option<String> {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}/readyz?verbose", shop.url());
    let answer = client.get(url).send().await.ok()?;
    let ready = answer.status().is_success();
    let said = answer.text().await.ok()?;
    (!ready).then_some(said)
}

/// Waits until every projection is stopped for this reason, in the list and in the readiness.
async fn all_stopped(ground: &Ground, shop: &Shop, reason: &str) {
    within(
        &format!("every projection is stopped: {reason}"),
        || async {
            let list = ground.operator(&["projections", "ls"]).await;
            let stopped = names().iter().all(|name| {
                let mut lines = list.lines().skip_while(|line| !line.starts_with(*name));
                let (line, message) = (lines.next().unwrap_or(""), lines.next().unwrap_or(""));
                let remedy = format!("waybill projections rebuild {name}");
                line.contains("stopped") && message.contains(reason) && message.contains(&remedy)
            });
            let unready = not_ready(shop).await?;
            (stopped && unready.contains(reason)).then_some(())
        },
    )
    .await;
}

/// The shop ends by itself, and its last words say why and where to read on.
async fn ends(shop: &mut Shop, reason: &str) {
    let status = shop.program().ended().await;
    assert!(!status.success(), "{status}");
    let program = &*shop.program();
    within(&format!("its last words are of {reason}"), || async {
        let said = program.said();
        let last = said
            .lines()
            .find(|line| line.starts_with("waybill: ") && line.contains(reason))?;
        last.contains("docs/runbooks/log-rewound.md").then_some(())
    })
    .await;
}

async fn ready_again(shop: &Shop) {
    within("the shop is ready again", || async {
        not_ready(shop).await.is_none().then_some(())
    })
    .await;
}

/// The present log is taken for the truth: what the buckets say of the other one is forgotten.
async fn forgotten(ground: &Ground) {
    let context = async_nats::jetstream::new(ground.client().await);
    for bucket in ["snapshots", "saga_status", "saga_attention", "notifier"] {
        let stream = context.get_stream(format!("KV_{bucket}")).await.unwrap();
        stream.purge().await.unwrap();
    }
}

/// And the rows are built anew.
async fn rebuilt(ground: &Ground, shop: &Shop) {
    let said = ground.operator(&["projections", "rebuild"]).await;
    assert_eq!(said.lines().count(), names().len(), "{said}");
    ready_again(shop).await;
    for name in names() {
        let verified = ground.operator(&["projections", "verify", name]).await;
        assert!(verified.contains("is what the log says"), "{verified}");
    }
}

fn copy(from: &Path, to: &Path) {
    let status = std::process::Command::new("cp")
        .arg("-a")
        .args([from, to])
        .status();
    assert!(status.unwrap().success());
}

/// Where the broker keeps everything, and where it keeps the events alone.
fn store(data: &Path) -> PathBuf {
    data.join("store")
}

fn events(data: &Path) -> PathBuf {
    find(&store(data), "EVENTS").expect("the stream's folder")
}

fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            if path.file_name().is_some_and(|it| it == name) {
                return Some(path);
            }
            if let Some(found) = find(&path, name) {
                return Some(found);
            }
        }
    }
    None
}

/// Puts a copy in a folder's place, and the folder aside.
fn exchange(place: &Path, copy_of_it: &Path, aside: &Path) {
    std::fs::rename(place, aside).unwrap();
    copy(copy_of_it, place);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_was_deleted_and_made_anew_stops_what_was_built_from_the_old_one() {
    let ground = Ground::new().await;
    let mut shop = ground.shop().await;
    let (partner, lamp) = (shop.exported("PARTNER"), shop.exported("LAMP"));
    confirmed(&shop.customer(), &partner, &lamp).await;
    ground.caught_up().await;
    let rows = ground.rows().await;

    let context = async_nats::jetstream::new(ground.client().await);
    context.delete_stream("EVENTS").await.unwrap();
    ground.operator(&["migrate"]).await;
    ends(&mut shop, "the log was recreated").await;
    // The rows stand still until they are built anew.
    forgotten(&ground).await;
    let mut again = ground.shop().await;
    all_stopped(&ground, &again, "the log was recreated").await;
    assert!(ground.rows().await == rows, "nothing was overwritten");
    let old = rows["orders"][0]["id"].as_str().unwrap();
    let shown = again.admin().get(&format!("/v1/orders/{old}")).await;
    assert_eq!(
        shown.status, 200,
        "queries go on, from the rows of the old log: {shown:?}"
    );

    rebuilt(&ground, &again).await;
    let gone = again.admin().get(&format!("/v1/orders/{old}")).await;
    gone.refused(404, "not_found");
    again.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_restored_from_an_older_copy_stops_everything_and_goes_on_with_the_right_one() {
    let ground = Ground::new().await;
    let mut shop = ground.shop().await;
    let (partner, lamp) = (shop.exported("PARTNER"), shop.exported("LAMP"));
    let customer = shop.customer();
    confirmed(&customer, &partner, &lamp).await;
    ground.caught_up().await;
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let (older, newer) = (folder.path().join("older"), folder.path().join("newer"));
    let to = older.clone();
    ground
        .while_the_broker_is_down(move |data| copy(&store(data), &to))
        .await;
    let second = within("the shop takes orders again", || async {
        let lines = json!([{"product_id": lamp, "quantity": 1}]);
        (customer.check(&partner, &lines).await.status == 200).then_some(())
    });
    second.await;
    let second = confirmed(&customer, &partner, &lamp).await;
    let end = ground.caught_up().await;
    let rows = ground.rows().await;

    let (from, aside) = (older.clone(), newer.clone());
    ground
        .while_the_broker_is_down(move |data| exchange(&store(data), &from, &aside))
        .await;
    let older_end = ground.log_end().await;
    assert!(older_end < end);
    ends(&mut shop, "the log has lost its tail").await;
    assert!(ground.rows().await == rows, "nothing was overwritten");
    assert_eq!(ground.log_end().await, older_end, "nothing was added");

    // The right one is found: it is put back, and the shop is started.
    ground
        .while_the_broker_is_down(move |data| {
            std::fs::remove_dir_all(store(data)).unwrap();
            copy(&newer, &store(data));
        })
        .await;
    let mut shop = ground.shop().await;
    ready_again(&shop).await;
    assert!(ground.rows().await == rows);
    let customer = shop.customer();
    let shown = shop.admin().get(&format!("/v1/orders/{second}")).await;
    assert_eq!(shown.ok()["status"], "confirmed");
    confirmed(&customer, &partner, &lamp).await;
    ground.caught_up().await;
    for name in names() {
        let verified = ground.operator(&["projections", "verify", name]).await;
        assert!(verified.contains("is what the log says"), "{verified}");
    }
    shop.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_lost_its_tail_while_all_were_down_is_noticed_at_the_start_and_can_be_taken_for_the_truth()
 {
    let ground = Ground::new().await;
    let mut shop = ground.shop().await;
    let (partner, lamp) = (shop.exported("PARTNER"), shop.exported("LAMP"));
    let kept = confirmed(&shop.customer(), &partner, &lamp).await;
    ground.caught_up().await;
    shop.stop().await;
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let (older, aside) = (folder.path().join("older"), folder.path().join("aside"));
    let to = older.clone();
    ground
        .while_the_broker_is_down(move |data| copy(&events(data), &to))
        .await;

    let mut shop = ground.shop().await;
    let lost = confirmed(&shop.customer(), &partner, &lamp).await;
    ground.caught_up().await;
    let rows = ground.rows().await;
    shop.kill9().await;
    // The events alone: the buckets beside them know of positions that the log has lost.
    ground
        .while_the_broker_is_down(move |data| exchange(&events(data), &older, &aside))
        .await;

    forgotten(&ground).await;
    let mut shop = ground.shop().await;
    all_stopped(&ground, &shop, "the log has lost its tail").await;
    assert!(ground.rows().await == rows, "nothing was overwritten");

    rebuilt(&ground, &shop).await;
    let admin = shop.admin();
    admin
        .get(&format!("/v1/orders/{lost}"))
        .await
        .refused(404, "not_found");
    assert_eq!(
        admin.get(&format!("/v1/orders/{kept}")).await.ok()["status"],
        "confirmed"
    );
    confirmed(&shop.customer(), &partner, &lamp).await;
    shop.stop().await;
}
