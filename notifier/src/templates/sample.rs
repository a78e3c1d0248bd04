//! Facts to look at messages with.

use event_schema::order::CancelReason;
use event_schema::{Currency, Money};
use uuid::Uuid;

use super::facts::{Facts, Line};

impl Facts {
    /// Facts that no kind misses anything of.
    #[must_use]
    pub fn sample() -> Self {
        let euros = |cents| Money::new(cents, Currency::EUR);
        let line = |sku: &str, name: &str, quantity: u32, cents: i64| Line {
            product_id: Uuid::from_u128(u128::from(quantity)),
            sku: sku.into(),
            name: name.into(),
            quantity,
            unit_price: euros(cents),
            total: euros(cents * i64::from(quantity)),
        };
        Self {
            recipient_name: Some("Ada Lovelace".into()),
            customer_name: Some("Ada Lovelace".into()),
            order_id: Some(Uuid::from_u128(0x0197_c3f0_4d2a_7c11_9e5b_3f2a_6c80_d714)),
            lines: vec![
                line("MUG-BLUE", "Stoneware mug, blue", 2, 1_900),
                line("NAPKIN", "Linen napkin", 4, 650),
            ],
            total: Some(euros(6_400)),
            refund: Some(euros(6_400)),
            reason: Some(CancelReason::OutOfStock),
            detail: Some("Stoneware mug, blue".into()),
            step: Some("refund".into()),
            cause: Some("refund_refused".into()),
            delivery_address: Some("12 Analytical Row, 10115 Berlin".into()),
            phone: Some("+49 30 901820".into()),
            pickup_address: Some("3 Kiln Lane, 10117 Berlin".into()),
            partner_title: Some("Kiln & Loom".into()),
            product_name: Some("Stoneware mug, blue".into()),
            product_sku: Some("MUG-BLUE".into()),
            product_id: Some(Uuid::from_u128(2)),
            available: Some(3),
            threshold: Some(5),
            resource_name: Some("vm-build-01".into()),
            resource_kind: Some("virtual machine".into()),
            resource_region: Some("eu-central-1".into()),
            public_url: "https://shop.example".into(),
            shop_name: "Corner Shop".into(),
        }
    }
}
