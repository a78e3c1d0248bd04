//! Moving house onto the shipped brokers: from one machine onto a cluster of three, by the user who is made for it, and
//! through a kill in the middle.

use std::path::Path;

use aws_lc_rs::digest;
use dev_servers::fresh_database;
use event_store::topology;
use serde_json::{Value, json};
use sqlx::PgPool;
use testkit::{Person, Program, Shop};
use uuid::Uuid;

use crate::carried;
use crate::deployment::Deployment;

/// The program under test.
const WAYBILL: &str = env!("CARGO_BIN_EXE_waybill");
/// So many deliveries of stock are added to the log that moves: it takes a while to store them.
const DELIVERIES: u64 = 6_000;
/// How many batches are stored, at least, before the import is killed.
const STORED_BEFORE_THE_KILL: u64 = 3 * event_store::import::IMPORT_BATCH_MESSAGES_MAX as u64;

/// The file of a log that goes on after its end with deliveries of a product, as if they had happened then.
fn with_deliveries(text: &str, product: &str) -> String {
    let mut lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    lines.pop();
    let of_product = |line: &&Value| {
        line["subject"].as_str().is_some_and(|subject| {
            subject.starts_with("evt.inventory.") && subject.ends_with(product)
        })
    };
    let last = lines.iter().rfind(of_product).unwrap();
    let version: u64 = header(last, "Aggregate-Version").parse().unwrap();
    let mut received = lines.iter().filter(of_product);
    let mut delivery = received
        .find(|line| header(line, "Event-Type") == "inventory.received")
        .unwrap()
        .clone();
    let end = lines.len() as u64 - 1;
    for count in 1..=DELIVERIES {
        delivery["position"] = json!(end + count);
        delivery["headers"]["Event-Id"] = json!(Uuid::now_v7());
        delivery["headers"]["Aggregate-Version"] = json!((version + count).to_string());
        lines.push(delivery.clone());
    }
    lines[0]["end"] = json!(end + DELIVERIES);
    let body: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let sha256 = hex::encode(digest::digest(&digest::SHA256, body.as_bytes()));
    let trailer = format!(
        "{{\"messages\":{},\"sha256\":\"{sha256}\"}}\n",
        lines.len() - 1
    );
    body + &trailer
}

fn header<'a>(line: &'a Value, name: &str) -> &'a str {
    line["headers"][name].as_str().unwrap()
}

/// The messages of a file, without what says which log they were read from.
fn messages(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    lines[1..lines.len() - 1].to_vec()
}

impl Deployment {
    async fn imports(&self, file: &Path) -> (bool, String) {
        let import = ["events", "import", "--in", file.to_str().unwrap()];
        let output = self.command(&import, Some("mover"), None).output().await;
        let output = output.unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.success(), said)
    }

    async fn refuses(&self, file: &Path, why: &str) {
        let (done, said) = self.imports(file).await;
        assert!(!done && said.contains(why), "{said}");
    }

    /// Kills an import once a good part of it is stored.
    async fn import_is_killed(&self, file: &Path) {
        let deployer = self.brokers.connect("deployer", "migrate").await;
        let stream = async_nats::jetstream::new(deployer);
        let stored = async || {
            let mut stream = stream.get_stream(topology::EVENTS).await.unwrap();
            stream.info().await.unwrap().state.last_sequence
        };
        let import = ["events", "import", "--in", file.to_str().unwrap()];
        let mut import = Program::start(&mut self.command(&import, Some("mover"), None));
        let began = tokio::time::Instant::now();
        while stored().await < STORED_BEFORE_THE_KILL {
            assert!(import.runs(), "{}", import.said());
            assert!(began.elapsed().as_secs() < 60, "{}", import.said());
        }
        import.kill9().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_moves_from_one_machine_onto_the_shipped_cluster_through_a_killed_import() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let text = |name: &str| path(name).display().to_string();
    let database = fresh_database().await.unwrap();
    let (key, short) = (text("signing_key"), text("short"));
    let settings = [
        ("WAYBILL_DATABASE_URL", database.as_str()),
        ("WAYBILL_SIGNING_KEY_FILE", key.as_str()),
    ];
    let mut old = Shop::start(WAYBILL, &settings).await;
    let (partner, lamp) = (old.exported("PARTNER"), old.exported("LAMP"));
    let token = old.exported("CUSTOMER");
    let customer = old.customer();
    let order = customer.order(&partner, &lamp, 1, "pm_card_visa").await;
    let confirmed = customer.order_becomes(&order, "confirmed").await;
    let me = customer.get("/v1/me").await.ok();
    assert_eq!(me["name"], "Ada Byron", "{me}");
    old.stop().await;
    old.operator(&["events", "export", "--out", &short]).await;
    let long = with_deliveries(&std::fs::read_to_string(&short).unwrap(), &lamp);
    std::fs::write(path("long"), long).unwrap();
    let wanted = messages(&path("long"));
    let end = wanted.len() as u64;

    let mut new = Deployment::prepare().await;
    std::fs::copy(&key, new.brokers.secrets.path("signing_key")).unwrap();
    new.migrate().await;
    let from = PgPool::connect(&database).await.unwrap();
    let to = new.brokers.secrets.read("database_migrate_url");
    let to = PgPool::connect(&to).await.unwrap();
    carried::rows(&from, &to, carried::VAULT).await;

    new.import_is_killed(&path("long")).await;
    let starts = [
        ("command-api", Some("command")),
        ("projector", Some("projector")),
        ("saga-orchestrator", None),
        ("notifier", Some("notifier")),
    ];
    for (role, login) in starts {
        let mut command = new.command(&[role], Some(role), login);
        command.env("WAYBILL_HTTP_ADDR", "127.0.0.1:0");
        let output = command.output().await;
        let said = String::from_utf8_lossy(&output.unwrap().stderr).into_owned();
        assert!(said.contains("is being filled by"), "{role}: {said}");
    }
    new.refuses(
        &path("short"),
        "an import of another file was left half done",
    )
    .await;
    let (done, said) = new.imports(&path("long")).await;
    let (_, stored) = said.split_once("broken off at position ").unwrap();
    let stored: u64 = stored.lines().next().unwrap().parse().unwrap();
    assert!((STORED_BEFORE_THE_KILL..end).contains(&stored), "{said}");
    assert!(done, "{said}");
    assert!(said.contains(&format!("the log ends at {end}")), "{said}");
    new.refuses(
        &path("long"),
        &format!("the log is not empty: it holds {end}"),
    )
    .await;
    let again = ["events", "export", "--out", &text("again")];
    new.says(&again, Some("mover"), None).await;
    assert!(messages(&path("again")) == wanted, "each of them once");
    let deployer = new.brokers.connect("deployer", "migrate").await;
    topology::verify(&deployer, 3).await.unwrap();

    // The shop opens in the new house.
    new.launch().await;
    let customer = Person::new(&new.url("projector"), &token);
    let buyer = Person::new(&new.url("command-api"), &token);
    assert_eq!(customer.order_becomes(&order, "confirmed").await, confirmed);
    assert_eq!(
        customer.get("/v1/me").await.ok(),
        me,
        "opened by the vault's key"
    );
    let another = buyer.order(&partner, &lamp, 1, "pm_card_visa").await;
    customer.order_becomes(&another, "confirmed").await;
    for projection in ["catalogue", "customers", "inbox", "inventory", "orders"] {
        let verified = new.operator(&["projections", "verify", projection]).await;
        assert!(verified.contains("is what the log says"), "{verified}");
    }
    assert_eq!(new.brokers.violations(), Vec::<String>::new());
}
