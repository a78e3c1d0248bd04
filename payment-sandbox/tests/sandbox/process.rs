//! The program itself: started, killed, started again, stopped in order.

use std::process::{ExitStatus, Stdio};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use crate::{
    provider::{API_KEY, WEBHOOK_SECRET, answered, card_form, id_of, order, within},
    receiver::Receiver,
};

struct Program {
    child: Child,
    base: String,
}

impl Program {
    async fn start(database_url: &str, receiver: &Receiver) -> Self {
        let mut child = command()
            .env("WAYBILL_DATABASE_URL", database_url)
            .env("WAYBILL_SANDBOX_WEBHOOK_URL", &receiver.url)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let base = within(async {
            loop {
                let line = lines
                    .next_line()
                    .await
                    .unwrap()
                    .expect("it ended before it was ready");
                let line: Value = serde_json::from_str(&line).unwrap_or_default();
                if let Some(address) = find(&line, "address") {
                    return address;
                }
            }
        })
        .await;
        // Whoever writes to a pipe that nobody reads stops.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { child, base }
    }

    async fn kill9(mut self) {
        self.child.kill().await.unwrap();
    }

    async fn terminate(mut self) -> ExitStatus {
        let pid = self.child.id().unwrap().to_string();
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .await
            .unwrap();
        within(self.child.wait()).await.unwrap()
    }
}

fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_payment-sandbox"));
    command
        .env("WAYBILL_SANDBOX_ADDR", "127.0.0.1:0")
        .env("WAYBILL_PAYMENT_URL", "http://127.0.0.1:12111")
        .env("WAYBILL_PAYMENT_KEY", API_KEY)
        .env("WAYBILL_PAYMENT_WEBHOOK_SECRET", WEBHOOK_SECRET)
        .env("WAYBILL_LOG_FORMAT", "json")
        .env("WAYBILL_LOG", "info")
        .stderr(Stdio::piped())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

fn find(line: &Value, name: &str) -> Option<String> {
    match line {
        Value::Object(fields) => match fields.get(name) {
            Some(Value::String(text)) => Some(text.clone()),
            _ => fields.values().find_map(|value| find(value, name)),
        },
        _ => None,
    }
}

#[tokio::test]
async fn a_killed_sandbox_still_knows_what_it_answered_and_still_announces_it() {
    let database = dev_servers::fresh_database().await.unwrap();
    let receiver = Receiver::start().await;
    receiver.refuse(usize::MAX);
    let order = order();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let form = card_form(&order, "pm_card_visa", "500");

    let program = Program::start(&database, &receiver).await;
    let create = |base: &str| {
        client
            .post(format!("{base}/v1/payment_intents"))
            .bearer_auth(API_KEY)
            .header("Idempotency-Key", "effect-1")
            .form(&form)
    };
    let intent = answered(create(&program.base)).await.ok();
    program.kill9().await;
    assert!(receiver.accepted(&order).is_empty());
    receiver.refuse(0);

    let program = Program::start(&database, &receiver).await;
    let again = answered(create(&program.base)).await;
    assert!(again.replayed());
    assert_eq!(id_of(&again.ok()), id_of(&intent));
    receiver
        .accepts(&order, "payment_intent.amount_capturable_updated")
        .await;
    let ended = program.terminate().await;
    assert!(ended.success(), "{ended}");
}

#[tokio::test]
async fn a_missing_secret_is_named() {
    let output = command()
        .env("WAYBILL_DATABASE_URL", "postgres://nobody@127.0.0.1:1/none")
        .env_remove("WAYBILL_PAYMENT_KEY")
        .output();
    let output = within(output).await.unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("WAYBILL_PAYMENT_KEY"), "{said}");
}
