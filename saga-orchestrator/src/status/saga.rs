//! What the bucket `saga_status` says of one saga. The field order is part of the form: the CLI cuts long values, so
//! the verdict comes first.

use event_schema::fulfilment::{Cause, Step};
use event_schema::ids::{EffectId, ProductId};
use event_schema::{Currency, Money, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::vocabulary::vocabulary;

/// The verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Going forward.
    Running,
    /// Putting back.
    Unwinding,
    /// A person is needed.
    NeedsOperator,
    /// Everything was done.
    Completed,
    /// Everything was put back.
    Compensated,
    /// Ended by a person.
    Closed,
}

impl Verdict {
    /// All of them, in the order of a saga's life.
    pub const ALL: [Self; 6] = [
        Self::Running,
        Self::Unwinding,
        Self::NeedsOperator,
        Self::Completed,
        Self::Compensated,
        Self::Closed,
    ];

    /// The verdict as stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Unwinding => "unwinding",
            Self::NeedsOperator => "needs_operator",
            Self::Completed => "completed",
            Self::Compensated => "compensated",
            Self::Closed => "closed",
        }
    }

    /// Whether nothing more will happen by itself or is due.
    pub const fn is_end(self) -> bool {
        matches!(self, Self::Completed | Self::Compensated | Self::Closed)
    }

    /// Reads a verdict as shown.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|verdict| verdict.as_str() == text)
    }
}

/// Everything that is shown of a saga.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SagaStatus {
    /// The verdict.
    pub status: Verdict,
    /// The step that is under way or stuck.
    pub step: Option<Step>,
    /// Why a person is needed.
    pub cause: Option<Cause>,
    /// Since when the verdict holds.
    pub since: Timestamp,
    /// The order's id.
    pub id: Uuid,
    /// Position of the saga's last event that this shows.
    pub position: u64,
    /// What happens by itself at the latest, and when.
    pub deadline: Option<Timestamp>,
    /// Why it unwinds.
    pub reason: Option<String>,
    /// Why, in words: the provider's answer, the sold-out product.
    pub detail: Option<String>,
    /// What had not run when a person ended it; left out when nothing was due.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_due: Vec<Step>,
    /// The definition that it runs as, such as `1:5f0c91aa`.
    pub def: Option<String>,
    /// The steps, in the order in which they began.
    pub steps: Vec<StepStatus>,
    /// Where the money is.
    pub money: MoneyStatus,
    /// Where the units are.
    pub stock: Vec<StockStatus>,
    /// In the bucket: what the build that worked the saga up to `position` knew of events. Left out by one that could not
    /// read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_by: Option<String>,
}

impl SagaStatus {
    /// Whether a build that knows the same events as this one has worked the saga up to there.
    pub(crate) fn is_read(&self) -> bool {
        self.read_by.as_deref() == Some(vocabulary())
    }

    /// A saga of which nothing can be read.
    pub fn unread(order: Uuid, now: Timestamp) -> Self {
        // Nobody knows the currency either; the sums are all nothing.
        let none = Money::zero(Currency::EUR);
        Self {
            status: Verdict::NeedsOperator,
            step: None,
            cause: None,
            since: now,
            id: order,
            position: 0,
            deadline: None,
            reason: None,
            detail: None,
            left_due: Vec::new(),
            def: None,
            steps: Vec::new(),
            money: MoneyStatus {
                authorised: none,
                captured: none,
                refunded: none,
                outside: None,
            },
            stock: Vec::new(),
            read_by: None,
        }
    }
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepStatus {
    /// Which.
    pub step: Step,
    /// `waiting`, `in_flight`, `backing_off`, `awaiting_customer`, `done`, `refused`, `overtaken`,
    /// `stuck`, `skipped`.
    pub state: String,
    /// Tries so far.
    pub tries: u32,
    /// How the last try ended.
    pub outcome: Option<String>,
    /// The effect, for a step outside.
    pub effect_id: Option<EffectId>,
}

/// Where the money of one order is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoneyStatus {
    /// Set aside in all; what was let go is not in it.
    pub authorised: Money,
    /// Taken, in total.
    pub captured: Money,
    /// Given back, in total.
    pub refunded: Money,
    /// What people have settled by other means; left out when nothing was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outside: Option<OutsideStatus>,
}

/// What people have settled by other means than the provider's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutsideStatus {
    /// Received, such as by bank transfer.
    pub received: Money,
    /// Given back.
    pub returned: Money,
}

/// Where the units of one line are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockStatus {
    /// Which product.
    pub product_id: ProductId,
    /// How many were ordered.
    pub quantity: u32,
    /// Held for the order now.
    pub held: u32,
    /// Sold to the order.
    pub sold: u32,
}
