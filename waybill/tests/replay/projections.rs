//! Read models by hand, over HTTP and on the command line.

use serde_json::{Value, json};
use testkit::{Person, within};

use crate::ground::{Ground, confirmed};

async fn shown(admin: &Person, name: &str) -> Value {
    let list = admin.get("/v1/projections").await.ok();
    let all = list["data"].as_array().unwrap().clone();
    all.into_iter().find(|one| one["name"] == name).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_model_is_paused_resumed_rebuilt_and_verified_over_http() {
    let ground = Ground::new().await;
    let mut shop = ground.shop().await;
    let (partner, lamp) = (shop.exported("PARTNER"), shop.exported("LAMP"));
    let (admin, customer) = (shop.admin(), shop.customer());
    let first = confirmed(&customer, &partner, &lamp).await;
    ground.caught_up().await;

    // Paused: what happens is not shown, and the answer says how old it is.
    let told = admin
        .post("/v1/projections/orders/pause", &json!({}))
        .await
        .ok();
    assert_eq!(told, json!({"name": "orders", "result": "paused"}));
    within("it stands still", || async {
        (shown(&admin, "orders").await["status"] == "paused").then_some(())
    })
    .await;
    let second = customer.order(&partner, &lamp, 1, "pm_card_visa").await;
    customer
        .get(&format!("/v1/orders/{second}"))
        .await
        .refused(404, "not_found");
    admin
        .post("/v1/projections/orders/pause", &json!({}))
        .await
        .ok();

    let told = admin
        .post("/v1/projections/orders/resume", &json!({}))
        .await
        .ok();
    assert_eq!(told["result"], "resumed");
    customer.order_becomes(&second, "confirmed").await;
    ground.caught_up().await;

    // Compared with the log; somebody's hand in the table is found and named.
    let verified = admin
        .post("/v1/projections/orders/verify", &json!({}))
        .await
        .ok();
    assert_eq!(
        (&verified["same"], &verified["rows"]),
        (&json!(true), &json!(2))
    );
    sqlx::query("update read.orders set status = 'delivered' where id = $1::uuid")
        .bind(&first)
        .execute(&ground.pool)
        .await
        .unwrap();
    let verified = admin
        .post("/v1/projections/orders/verify", &json!({}))
        .await
        .ok();
    assert_eq!(verified["same"], json!(false));
    assert_eq!(
        verified["difference"],
        json!({"table": "orders", "key": first, "column": "status", "live": "delivered", "log": "confirmed"})
    );

    // Built anew beside the one that serves, and swapped.
    let answer = admin
        .request(reqwest::Method::POST, "/v1/projections/orders/rebuild")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 202);
    assert_eq!(answer.headers()["location"], "/v1/projections");
    customer.order_becomes(&first, "confirmed").await;
    within("it is what the log says", || async {
        let verified = admin
            .post("/v1/projections/orders/verify", &json!({}))
            .await;
        (verified.status == 200 && verified.body["same"] == true).then_some(())
    })
    .await;

    for verb in ["pause", "resume", "rebuild", "verify"] {
        let nothing = format!("/v1/projections/nothing/{verb}");
        admin
            .post(&nothing, &json!({}))
            .await
            .refused(404, "not_found");
        let orders = format!("/v1/projections/orders/{verb}");
        customer
            .post(&orders, &json!({}))
            .await
            .refused(403, "forbidden");
    }
    // Somebody's rebuild is under way; ours is noted until shortly after it was swapped in.
    within("our own rebuild is over", || async {
        let noted: i64 = sqlx::query_scalar("select count(*) from read.replay")
            .fetch_one(&ground.pool)
            .await
            .unwrap();
        (noted == 0).then_some(())
    })
    .await;
    sqlx::query(
        "insert into read.replay (projection, kind, holder, until) values ('orders', 'rebuild', 'other', now() + interval '1 minute')",
    )
    .execute(&ground.pool)
    .await
    .unwrap();
    let busy = admin
        .post("/v1/projections/orders/rebuild", &json!({}))
        .await;
    assert!(
        busy.body["detail"].as_str().unwrap().contains("under way"),
        "{busy:?}"
    );
    busy.refused(409, "projection_busy");
    shop.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_model_is_paused_and_resumed_on_the_command_line() {
    let ground = Ground::new().await;
    let mut shop = ground.shop().await;
    let admin = shop.admin();
    let said = ground
        .operator(&["projections", "pause", "inventory"])
        .await;
    assert_eq!(said, "inventory is paused\n");
    let list = ground.operator(&["projections", "ls"]).await;
    assert!(
        list.lines()
            .any(|line| line.starts_with("inventory") && line.contains("paused")),
        "{list}"
    );
    assert_eq!(shown(&admin, "inventory").await["status"], "paused");
    assert_eq!(
        ground
            .operator(&["projections", "resume", "inventory"])
            .await,
        "inventory is resumed\n"
    );
    within("it goes on", || async {
        (shown(&admin, "inventory").await["status"] == "live").then_some(())
    })
    .await;
    let (done, said) = ground.tries(&["projections", "pause", "nothing"]).await;
    assert!(!done && said.contains("there are catalogue, "), "{said}");
    shop.stop().await;
}
