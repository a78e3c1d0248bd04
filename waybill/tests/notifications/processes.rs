//! Notifiers as processes of their own, which are killed, frozen and woken while people are to be told something.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use dev_servers::{NatsServer, Postgres};
use message_sandbox::fault::Rule;
use message_sandbox::{Channel, Config, Sandbox};
use serde_json::json;
use service_kit::Shutdown;
use testkit::{Deployment, Layout, Market, Role, Servers, within, within_time};
use tokio::net::TcpListener;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::WAYBILL;

const NOTIFIERS: usize = 2;
/// People who are told something between two blows.
const PEOPLE: usize = 12;
/// Long enough for a blow to strike while calls are under way.
const ANSWER_AFTER: Duration = Duration::from_millis(400);
/// A leader that is gone is followed within ten seconds; the rest is for a machine that has other things to do.
const TOLD_LIMIT: Duration = Duration::from_secs(240);
const LOOK_PERIOD: Duration = Duration::from_millis(100);
const LEADS: &str = "waybill_notifier_leads 1";

/// A mail API that answers late, and where it is.
async fn mail_api(shutdown: &Shutdown) -> (Sandbox, String) {
    let http = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let smtp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", http.local_addr().unwrap());
    let config = Config::new(&url);
    let sandbox = spawn_blocking(move || Sandbox::open(&config)).await;
    let sandbox = sandbox.unwrap().unwrap();
    let (serving, until) = (sandbox.clone(), shutdown.clone());
    tokio::spawn(async move {
        message_sandbox::serve(&serving, http, smtp, &until).await;
    });
    let rule = Rule {
        latency_ms: u64::try_from(ANSWER_AFTER.as_millis()).unwrap(),
        ..Rule::default()
    };
    sandbox.faults().set(Channel::Email, rule);
    (sandbox, url)
}

/// Which notifier leads; a frozen one cannot say so.
async fn leader(deployment: &Deployment, others_than: Option<usize>) -> usize {
    let http = reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(2))
        .build()
        .unwrap();
    within("a notifier leads", async || {
        for number in (0..NOTIFIERS).filter(|number| Some(*number) != others_than) {
            let url = format!("{}/metrics", deployment.url(Role::Notifier, number));
            let Ok(answer) = http.get(url).send().await else {
                continue;
            };
            if answer.text().await.is_ok_and(|text| text.contains(LEADS)) {
                return Some(number);
            }
        }
        None
    })
    .await
}

/// Adds so many people, who are welcomed by mail; to whom those mails go.
async fn people(market: &Market, round: &str) -> Vec<String> {
    let mut addresses = Vec::new();
    for number in 0..PEOPLE {
        let address = format!("{round}-{number}@example.com");
        let body = json!({"name": "Ada", "email": address});
        market.admin.post("/v1/customers", &body).await.ok();
        addresses.push(format!("Ada <{address}>"));
    }
    addresses
}

/// How many mails each address got.
fn mails(sandbox: &Sandbox) -> BTreeMap<String, usize> {
    let mut mails = BTreeMap::new();
    for message in sandbox.store().newest() {
        *mails.entry(message.to.clone()).or_default() += 1;
    }
    mails
}

/// Waits until the provider is in the middle of telling one of them, so that a blow strikes there.
async fn telling(sandbox: &Sandbox, addresses: &[String]) {
    within("the first of them are told", async || {
        let mails = mails(sandbox);
        addresses
            .iter()
            .any(|address| mails.contains_key(address))
            .then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notifiers_that_are_killed_and_frozen_tell_everybody_once() {
    let nats = spawn_blocking(|| NatsServer::temporary().unwrap());
    let postgres = spawn_blocking(|| Postgres::temporary().unwrap());
    let (nats, postgres) = (nats.await.unwrap(), postgres.await.unwrap());
    let shutdown = Shutdown::new();
    let (sandbox, url) = mail_api(&shutdown).await;
    let servers = Servers {
        nats: nats.url(),
        database: postgres.url(),
        sandbox_database: dev_servers::fresh_database().await.unwrap(),
    };
    let layout = Layout::single()
        .with_notifiers(NOTIFIERS)
        .with("WAYBILL_MAIL_API_URL", &url)
        .with("WAYBILL_MAIL_API_KEY", "re_test")
        .with("WAYBILL_SMTP_FROM", "Shop <shop@example.com>")
        // It is part of each mail. Whoever tries again what another one has sent must say the same under the same key.
        .with("WAYBILL_PUBLIC_URL", "https://shop.example");
    let mut deployment = Deployment::start(WAYBILL, servers, layout).await;
    leader(&deployment, None).await;
    let market = Market::open(&deployment).await;

    // Killed in the middle of it: the other one goes on.
    let mut everybody = people(&market, "killed").await;
    telling(&sandbox, &everybody).await;
    let killed = leader(&deployment, None).await;
    deployment.kill9(Role::Notifier, killed).await;
    leader(&deployment, Some(killed)).await;
    deployment.again(Role::Notifier, killed);
    deployment.ready().await;

    // Frozen in the middle of it, woken when another one has taken over.
    let frozen_ones = people(&market, "frozen").await;
    telling(&sandbox, &frozen_ones).await;
    let frozen = leader(&deployment, None).await;
    deployment.freeze(Role::Notifier, frozen).await;
    leader(&deployment, Some(frozen)).await;
    everybody.extend(frozen_ones);
    everybody.extend(people(&market, "meanwhile").await);
    deployment.wake(Role::Notifier, frozen).await;

    // Both at once: what is told while nobody runs is told by whoever comes back.
    let last = people(&market, "nobody").await;
    for number in 0..NOTIFIERS {
        deployment.kill9(Role::Notifier, number).await;
    }
    everybody.extend(last);
    everybody.extend(people(&market, "late").await);
    for number in 0..NOTIFIERS {
        deployment.again(Role::Notifier, number);
    }

    within_time(TOLD_LIMIT, "everybody is told", async || {
        let mails = mails(&sandbox);
        everybody
            .iter()
            .all(|address| mails.contains_key(address))
            .then_some(())
    })
    .await;
    // Nothing is under way any more that could still be told twice.
    let until = Instant::now() + TOLD_LIMIT;
    loop {
        let path = "/v1/notification-deliveries?channel=email&limit=100";
        let page = market.admin.get(path).await.ok();
        let deliveries = page["data"].as_array().unwrap();
        let (sent, others): (Vec<_>, Vec<_>) = deliveries
            .iter()
            .partition(|delivery| delivery["status"] == "sent");
        if others.is_empty() && sent.len() == everybody.len() {
            break;
        }
        assert!(
            Instant::now() < until,
            "{} of {} are settled; these are not: {others:#?}",
            sent.len(),
            everybody.len()
        );
        sleep(LOOK_PERIOD).await;
    }
    let twice: Vec<_> = mails(&sandbox)
        .into_iter()
        .filter(|(_, count)| *count != 1)
        .collect();
    assert_eq!(twice, [], "told more than once");
    assert_eq!(deployment.fallen(), Vec::<String>::new());
    shutdown.begin();
}
