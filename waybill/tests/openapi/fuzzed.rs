//! A fuzzer reads the document, makes up requests by the thousand, good and bad, and holds every answer against it: no
//! server error, no status, form or header that is not documented, nothing accepted that the document forbids.
//!
//! The seed is fixed, so that a failure comes again; `st replay` in its output names the request.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use testkit::{Shop, schemathesis};
use uuid::Uuid;

use crate::WAYBILL;
use crate::document::{is_endless, operations};

const SEED: &str = "20261121";
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
    response_headers_conformance,response_schema_conformance,negative_data_rejection";
/// Made-up requests per route, besides those that try each rule of the document once.
const EXAMPLES: u32 = 3;
const LONG_EXAMPLES: u32 = 150;
/// A run that hangs is a failure.
const LIMIT: Duration = Duration::from_secs(300);
const LONG_LIMIT: Duration = Duration::from_secs(3_600);

/// What is there to be asked about, so that requests come past "there is no such thing".
struct Ground {
    partner: String,
    product: String,
    customer: String,
    resource: String,
    order: String,
}

impl Ground {
    async fn lay(shop: &mut Shop) -> Self {
        let admin = shop.admin();
        let id = |answer: Value| answer["id"].as_str().unwrap().to_owned();
        let partner = shop.exported("PARTNER");
        let sku = Uuid::now_v7().simple().to_string();
        let eur = |amount: u32| json!({"amount": amount, "currency": "EUR"});
        let product = json!({"sku": sku, "name": "Thing", "brand": "P", "category": "things", "unit_cost": eur(4)});
        let product = id(admin.post("/v1/products", &product).await.ok());
        let offer = json!({"price": eur(900), "active": true});
        let path = format!("/v1/partners/{partner}/offers/{product}");
        testkit::answer(admin.request(Method::PUT, &path).json(&offer))
            .await
            .ok();
        let path = format!("/v1/inventory/{product}/receive");
        admin.post(&path, &json!({"quantity": 50})).await.ok();
        let customer = json!({"name": "Fay", "email": "fay@example.org"});
        let resource = json!({"name": "vm", "type": "compute", "region": "eu-west-1"});
        Self {
            customer: id(admin.post("/v1/customers", &customer).await.ok()),
            resource: id(admin.post("/v1/resources", &resource).await.ok()),
            order: shop
                .customer()
                .order(&partner, &product, 1, "pm_card_visa")
                .await,
            partner,
            product,
        }
    }

    /// The fuzzer's settings: which ids to use where, now and then one that nobody has.
    fn settings(&self) -> String {
        let mut settings = "[checks.not_a_server_error]\n\
            # A server that is away for a moment says so; that it says when to come back is documented with it.\n\
            expected-statuses = [\"2xx\", \"3xx\", \"4xx\", 503]\n"
            .to_owned();
        let nobody = Uuid::now_v7();
        let families = [
            ("^/v1/partners/", "id", &self.partner),
            ("^/v1/customers/", "id", &self.customer),
            ("^/v1/products/", "id", &self.product),
            ("^/v1/resources/", "id", &self.resource),
            ("^/v1/inventory/", "product_id", &self.product),
            ("^/v1/orders/", "id", &self.order),
            ("^/v1/sagas/", "id", &self.order),
            ("^/v1/payments/", "order_id", &self.order),
        ];
        for (path, parameter, id) in families {
            write!(
                settings,
                "[[operations]]\ninclude-path-regex = \"{path}\"\nparameters = {{ \"path.{parameter}\" = [\"{id}\", \"{nobody}\"] }}\n"
            )
            .unwrap();
        }
        settings
    }
}

/// One run of the fuzzer as somebody.
struct Run<'a> {
    document: &'a Path,
    url: &'a str,
    long: bool,
    folder: &'a Path,
}

impl Run<'_> {
    async fn fuzz(&self, who: &str, token: Option<&str>, phases: &str, arguments: &[&str]) {
        let examples = if self.long { LONG_EXAMPLES } else { EXAMPLES };
        let mut command = schemathesis(self.folder);
        command
            .args(["run", &self.document.to_string_lossy(), "--url", self.url])
            .args(["--seed", SEED, "--max-examples", &examples.to_string()])
            .args(["--phases", phases, "--checks", CHECKS])
            .args(["--generation-database", "none", "--continue-on-failure"])
            .args(["--warnings", "off", "--no-color", "--no-shrink"])
            .args(["--suppress-health-check", "all"])
            .args(arguments);
        if let Some(token) = token {
            command.args(["--header", &format!("Authorization: Bearer {token}")]);
        }
        let limit = if self.long { LONG_LIMIT } else { LIMIT };
        let Output { status, stdout, .. } = tokio::time::timeout(limit, command.output())
            .await
            .unwrap_or_else(|_| panic!("the fuzzer as {who} did not end within {limit:?}"))
            .unwrap();
        let said = String::from_utf8_lossy(&stdout);
        assert!(status.success(), "as {who}:\n{said}");
        // It has to have asked something.
        assert!(said.contains("generated"), "as {who}:\n{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_sent_is_answered_as_documented() {
    let long = std::env::var_os("WAYBILL_LONG_TESTS").is_some();
    // How often somebody may ask is tested elsewhere.
    let mut shop = Shop::start(WAYBILL, &[("WAYBILL_RATE_LIMIT", "off")]).await;
    let ground = Ground::lay(&mut shop).await;

    // As it is served, without what has no end: a stream of events is read by the tests of those routes.
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let address = format!("{}/openapi.json", shop.url());
    let served = http.get(address).send().await.unwrap();
    let mut document: Value = served.json().await.unwrap();
    let endless: Vec<String> = operations(&document)
        .into_iter()
        .filter(|(_, operation)| is_endless(operation))
        .map(|(route, _)| route.trim_start_matches("GET ").to_owned())
        .collect();
    assert_eq!(
        endless,
        [
            "/v1/events/live",
            "/v1/inventory/live",
            "/v1/notifications/live"
        ]
    );
    for path in &endless {
        document["paths"].as_object_mut().unwrap().remove(path);
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("openapi.json");
    std::fs::write(&file, document.to_string()).unwrap();
    std::fs::write(folder.path().join("schemathesis.toml"), ground.settings()).unwrap();

    let url = shop.url();
    let run = Run {
        document: &file,
        url: &url,
        long,
        folder: folder.path(),
    };
    let everything = if long {
        "examples,coverage,fuzzing,stateful"
    } else {
        "examples,coverage,fuzzing"
    };
    let some = if long { everything } else { "examples,fuzzing" };
    // An empty parameter of a query counts as one that was not sent, which the fuzzer takes for accepting nonsense.
    // Who closes his account is nobody from then on: that comes last.
    let no_get = [
        "--exclude-method",
        "GET",
        "--exclude-operation-id",
        "delete_me",
    ];
    let gets = [
        "--include-method",
        "GET",
        "--exclude-checks",
        "negative_data_rejection",
    ];
    for role in ["admin", "customer", "deliverer", "partner"] {
        let token = match role {
            "partner" => {
                let arguments = ["token", "--role", role, "--subject", &ground.partner];
                shop.operator(&arguments).await
            }
            "customer" => shop.exported("CUSTOMER"),
            _ => shop.operator(&["token", "--role", role]).await,
        };
        let phases = if role == "admin" { everything } else { some };
        run.fuzz(role, Some(token.trim()), phases, &no_get).await;
        run.fuzz(role, Some(token.trim()), phases, &gets).await;
        let last = ["--include-operation-id", "delete_me"];
        run.fuzz(role, Some(token.trim()), phases, &last).await;
    }
    run.fuzz("nobody", None, some, &no_get).await;
    run.fuzz("nobody", None, some, &gets).await;
}
