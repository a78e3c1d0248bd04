//! Facts to look at messages with.

use event_schema::order::CancelReason;
use event_schema::{Currency, Money};
use uuid::Uuid;

use super::facts::{Facts, LineFacts, OrderFacts, ProductFacts, ResourceFacts, Shop, StuckFacts};

impl Facts {
    /// Facts that no kind misses anything of.
    #[must_use]
    pub fn sample(shop: Shop) -> Self {
        let euros = |cents| Money::new(cents, Currency::EUR);
        let line = |name: &str, quantity, cents| LineFacts {
            name: name.into(),
            quantity,
            price: euros(cents),
        };
        Self {
            shop,
            name: Some("Ada Lovelace".into()),
            order: Some(OrderFacts {
                id: Uuid::from_u128(0x0197_c3f0_4d2a_7c11_9e5b_3f2a_6c80_d714),
                lines: vec![
                    line("Stoneware mug, blue", 2, 3_800),
                    line("Linen napkin", 4, 2_600),
                ],
                total: Some(euros(6_400)),
                delivery_address: Some("12 Analytical Row, 10115 Berlin".into()),
                phone: Some("+49 30 901820".into()),
                pickup_address: Some("3 Kiln Lane, 10117 Berlin".into()),
            }),
            reason: Some(CancelReason::OutOfStock),
            detail: Some("Stoneware mug, blue".into()),
            amount: Some(euros(6_400)),
            resource: Some(ResourceFacts {
                name: "vm-build-01".into(),
                kind: Some("virtual machine".into()),
                region: Some("eu-central-1".into()),
            }),
            product: Some(ProductFacts {
                name: "Stoneware mug, blue".into(),
                sku: "MUG-BLUE".into(),
                available: 3,
                threshold: 5,
            }),
            partner: Some("Kiln & Loom".into()),
            stuck: Some(StuckFacts {
                step: "refund".into(),
                cause: "refund_refused".into(),
                detail: "the provider refuses to give the money back: charge_disputed".into(),
            }),
        }
    }
}
