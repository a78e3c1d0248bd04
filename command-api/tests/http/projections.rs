//! Read models by hand, at a door behind which no projector runs. With one it is the whole program's tests' turn.

use http::Method;
use service_kit::Role;
use uuid::Uuid;

use crate::shop::Shop;

#[tokio::test]
async fn without_a_projector_the_caller_is_told_to_come_back() {
    let shop = Shop::open().await;
    for verb in ["pause", "resume", "rebuild", "verify"] {
        let path = format!("/v1/projections/orders/{verb}");
        let told = shop.admin(Method::POST, &path).send().await;
        told.is_problem(503, "projector_unavailable");
        assert!(told.header("retry-after").parse::<u64>().unwrap() > 0);
        let partner = shop.by(Role::Partner, Uuid::now_v7(), Method::POST, &path);
        partner.send().await.is_problem(403, "forbidden");
    }
    assert_eq!(shop.log_end().await, 0);
}
