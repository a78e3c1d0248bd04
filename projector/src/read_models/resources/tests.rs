//! Cloud resources and who has them, as everybody, admins and customers see them.

use event_schema::ids::{CustomerId, ResourceId};
use event_schema::{assignment, resource};
use serde_json::json;
use service_kit::Role;
use uuid::Uuid;

use crate::testing::stories::customer;
use crate::testing::{Happening, Shop, to};

fn details(name: &str, kind: &str, region: &str) -> resource::Details {
    resource::Details {
        name: name.into(),
        kind: kind.into(),
        region: region.into(),
    }
}

fn added(id: Uuid, name: &str, kind: &str, region: &str) -> Happening {
    let details = details(name, kind, region);
    to(id, [resource::Event::from(resource::Added { details })])
}

fn assigned(customer: Uuid, resource: Uuid) -> Happening {
    let (customer_id, resource_id) = (CustomerId(customer), ResourceId(resource));
    let event = assignment::Assigned {
        customer_id,
        resource_id,
    };
    to(
        assignment::id(customer_id, resource_id),
        [assignment::Event::from(event)],
    )
}

fn unassigned(customer: Uuid, resource: Uuid) -> Happening {
    let (customer_id, resource_id) = (CustomerId(customer), ResourceId(resource));
    let event = assignment::Unassigned {
        customer_id,
        resource_id,
    };
    to(
        assignment::id(customer_id, resource_id),
        [assignment::Event::from(event)],
    )
}

#[tokio::test]
async fn resources_are_found_by_type_region_and_text_as_they_were_last_described() {
    let shop = Shop::new().await.open().await;
    let (vm, db, bus) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    shop.happens([
        added(vm, "Small machine", "vm", "eu-central-1"),
        added(db, "Dynamic DB", "database", "us-west-1"),
        added(bus, "Pubsub", "event", "us-central-1"),
    ])
    .await;
    let moved = resource::Changed {
        details: details("Small machine", "vm", "us-west-1"),
    };
    shop.happens([to(vm, [resource::Event::from(moved)])]).await;

    // Nobody has to be signed in to look.
    let found = async |query: &str| -> Vec<String> {
        let path = format!("/v1/resources{query}");
        let got = shop.get_with(&path, None, &[]).await;
        got.ids().into_iter().map(str::to_owned).collect()
    };
    let (vm_id, db_id, bus_id) = (vm.to_string(), db.to_string(), bus.to_string());
    assert_eq!(found("").await, [&db_id, &bus_id, &vm_id].map(Clone::clone));
    assert_eq!(found("?type=database").await, std::slice::from_ref(&db_id));
    assert_eq!(found("?region=us-west-1").await, [db_id, vm_id.clone()]);
    assert_eq!(found("?q=PUB").await, [bus_id]);
    assert_eq!(found("?q=%25x").await, Vec::<String>::new());
    let one = shop.ask(&format!("/v1/resources/{vm}")).await;
    assert_eq!(
        (&one.body["region"], &one.body["type"], one.header("etag")),
        (&json!("us-west-1"), &json!("vm"), Some("\"2\""))
    );

    let removed = resource::Event::from(resource::Removed {});
    shop.happens([to(vm, [removed])]).await;
    assert_eq!(shop.ask(&format!("/v1/resources/{vm}")).await.status, 404);
    assert!(!found("").await.contains(&vm_id));
    let unknown = format!("/v1/resources/{}", Uuid::now_v7());
    assert_eq!(shop.ask(&unknown).await.code(), "not_found");
}

#[tokio::test]
async fn a_customer_sees_what_he_has_and_of_others_he_does_not_even_see_that_they_exist() {
    let shop = Shop::new().await.open().await;
    let (ada, bob) = (Uuid::now_v7(), Uuid::now_v7());
    let (vm, db) = (Uuid::now_v7(), Uuid::now_v7());
    shop.happens([
        customer(&shop.shop, ada, "ada").await,
        customer(&shop.shop, bob, "bob").await,
        added(vm, "Small machine", "vm", "eu-central-1"),
        added(db, "Dynamic DB", "database", "us-west-1"),
    ])
    .await;
    for what in [vm, db] {
        shop.happens([assigned(ada, what)]).await;
    }
    let path = format!("/v1/customers/{ada}/resources");
    let own = shop.get(&path, Role::Customer, ada).await;
    let names = |got: &crate::testing::Got| -> Vec<String> {
        let rows = got.body["data"].as_array().unwrap();
        rows.iter()
            .map(|row| row["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(&own), ["Small machine", "Dynamic DB"]);
    assert_eq!(
        (
            &own.body["data"][0]["resource_id"],
            &own.body["data"][0]["region"]
        ),
        (&json!(vm), &json!("eu-central-1"))
    );
    let first = shop.ask(&format!("{path}?limit=1")).await;
    let cursor = first.body["next_cursor"].as_str().unwrap();
    let rest = shop.ask(&format!("{path}?cursor={cursor}")).await;
    assert_eq!([names(&first), names(&rest)].concat(), names(&own));

    for path in [path.clone(), format!("{path}/{vm}")] {
        let other = shop.get(&path, Role::Customer, bob).await;
        assert_eq!((other.status.as_u16(), other.code()), (404, "not_found"));
        assert_eq!(shop.get(&path, Role::Customer, ada).await.status, 200);
    }
    let nothing = shop
        .get(
            &format!("/v1/customers/{bob}/resources"),
            Role::Customer,
            bob,
        )
        .await;
    assert_eq!((nothing.status.as_u16(), names(&nothing).len()), (200, 0));
    let unknown = format!("/v1/customers/{}/resources", Uuid::now_v7());
    assert_eq!(shop.ask(&unknown).await.code(), "not_found");

    // What leaves the catalogue stays with who has it, until it is taken away.
    shop.happens([to(vm, [resource::Event::from(resource::Removed {})])])
        .await;
    assert_eq!(names(&shop.ask(&path).await), names(&own));
    shop.happens([unassigned(ada, vm)]).await;
    assert_eq!(names(&shop.ask(&path).await), ["Dynamic DB"]);
    assert_eq!(shop.ask(&format!("{path}/{vm}")).await.status, 404);
    shop.happens([assigned(ada, vm)]).await;
    assert_eq!(
        names(&shop.ask(&path).await),
        ["Dynamic DB", "Small machine"]
    );
    let pair = shop.ask(&format!("{path}/{vm}")).await;
    assert_eq!(pair.header("etag"), Some("\"3\""));
}

#[tokio::test]
async fn a_customer_is_told_of_a_resource_that_he_gets_and_loses() {
    let shop = Shop::new().await.open().await;
    let (ada, bob, vm) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    shop.happens([added(vm, "Machine", "vm", "eu-central-1")])
        .await;
    let renamed = resource::Changed {
        details: details("Small machine", "vm", "eu-central-1"),
    };
    shop.happens([to(vm, [resource::Event::from(renamed)])])
        .await;
    shop.happens([assigned(ada, vm)]).await;
    // Whoever has it hears of it by its name when it is not in the catalogue any more.
    shop.happens([to(vm, [resource::Event::from(resource::Removed {})])])
        .await;
    shop.happens([unassigned(ada, vm)]).await;
    let told = async |who: Uuid| -> Vec<(String, String)> {
        let inbox = shop.get("/v1/notifications", Role::Customer, who).await;
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let rows = inbox.body["data"].as_array().unwrap();
        rows.iter()
            .map(|row| (text(&row["kind"]), text(&row["body"])))
            .collect()
    };
    let wanted = [
        (
            "resource_removed",
            "You do not have Small machine any more.",
        ),
        ("resource_added", "You have been given Small machine."),
    ]
    .map(|(kind, body)| (kind.to_owned(), body.to_owned()));
    assert_eq!(told(ada).await, wanted);
    assert_eq!(told(bob).await, []);
}

#[tokio::test]
async fn a_rebuild_and_a_second_showing_lead_to_the_same_rows() {
    let shop = Shop::new().await.open().await;
    let (ada, vm) = (Uuid::now_v7(), Uuid::now_v7());
    shop.happens([
        customer(&shop.shop, ada, "ada").await,
        added(vm, "Small machine", "vm", "eu-central-1"),
    ])
    .await;
    shop.happens([assigned(ada, vm)]).await;
    shop.happens([unassigned(ada, vm)]).await;
    shop.happens([assigned(ada, vm)]).await;
    let rows = shop.shop.rows().await;
    for name in [super::NAME, "inbox"] {
        shop.workshop.rebuild(name, |_| {}).await.unwrap();
    }
    shop.catch_up().await;
    assert_eq!(shop.shop.rows().await, rows);
}
