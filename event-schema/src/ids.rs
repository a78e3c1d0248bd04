//! One newtype per noun, so that an order's id cannot be passed where a product's is meant.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! id {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// The id as a bare UUID.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }

        impl From<$name> for Uuid {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    )+};
}

id! {
    /// A customer, and the person whose key seals the customer's data.
    CustomerId,
    /// A partner: the seller who prepares orders.
    PartnerId,
    /// A product; its inventory has the same id.
    ProductId,
    /// An order; its payment and its saga have the same id.
    OrderId,
    /// Who brings an order: a customer's account with the role deliverer, under the same id.
    DelivererId,
    /// A cloud resource in the catalogue.
    ResourceId,
    /// One thing that somebody is told in his inbox.
    NotificationId,
    /// A quote: prices kept for a while, used by one order.
    QuoteId,
    /// A command, the same for every repeat of it.
    CommandId,
    /// A message to somebody on one channel; the provider's idempotency key.
    DeliveryId,
    /// One call to the outside world, the same for every try of it; the provider's idempotency key.
    EffectId,
}

/// Namespace of all ids derived in this system (a UUIDv5 of the project's name).
pub const NAMESPACE: Uuid = Uuid::from_u128(0x6f1d_6f0e_4f0a_5f5c_9f51_77a1_b111_0001);

/// Derives an id from its parts; the separator cannot occur in a part's printable form.
pub fn derived(parts: &[&str]) -> Uuid {
    Uuid::new_v5(&NAMESPACE, parts.join("\u{1f}").as_bytes())
}

impl EffectId {
    /// The effect id of a saga's step: stable over restarts, new for each numbered opening of the step.
    pub fn of(order: OrderId, step: &str, opening: u32) -> Self {
        Self(derived(&[
            "effect",
            &order.to_string(),
            step,
            &opening.to_string(),
        ]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_effect_keeps_its_id_over_restarts_and_differs_by_step_and_opening() {
        let order = OrderId(Uuid::from_u128(1));
        assert_eq!(
            EffectId::of(order, "authorise", 1),
            EffectId::of(order, "authorise", 1)
        );
        assert_ne!(
            EffectId::of(order, "authorise", 1),
            EffectId::of(order, "authorise", 2)
        );
        assert_ne!(
            EffectId::of(order, "authorise", 1),
            EffectId::of(order, "capture", 1)
        );
    }
}
