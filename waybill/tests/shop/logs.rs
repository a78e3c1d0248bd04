//! What the program writes down about itself, for programs that read it.

use serde_json::Value;
use testkit::{Shop, within};

use crate::WAYBILL;

#[tokio::test(flavor = "multi_thread")]
async fn every_line_of_the_log_is_json_and_a_request_is_found_by_its_id() {
    let settings = [("WAYBILL_LOG", "info"), ("WAYBILL_LOG_FORMAT", "json")];
    let mut shop = Shop::start(WAYBILL, &settings).await;
    let asked = shop
        .admin()
        .request(reqwest::Method::GET, "/v1/orders")
        .header("x-request-id", "the-one-request")
        .send()
        .await
        .unwrap();
    assert_eq!(asked.headers()["x-request-id"], "the-one-request");
    let program = shop.program();
    let line = within("the request is written down", || {
        let said = program.said();
        let found = said.lines().find(|line| line.contains("the-one-request"));
        let found = found.map(str::to_owned);
        async move { found }
    })
    .await;
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["span"]["http.route"], "/v1/orders", "{line}");
    assert_eq!(line["span"]["request.id"], "the-one-request", "{line}");
    let said = program.said();
    let lines: Vec<&str> = said.lines().filter(|line| line.starts_with('{')).collect();
    assert!(lines.len() > 3, "{said}");
    for line in lines {
        let line: Value = serde_json::from_str(line).unwrap();
        for member in ["timestamp", "level", "message", "target"] {
            assert!(line[member].is_string(), "{member}: {line}");
        }
    }
}
