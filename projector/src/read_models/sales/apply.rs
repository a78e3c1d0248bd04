//! A batch of events into sales: read those concerned, fold, write them back at once.

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;
use uuid::Uuid;

use event_schema::{Recorded, order, payment};

use super::row::{self, Sale, SaleLine, Stage};
use crate::projection::{ApplyError, Batch, decode, following, ids};

/// The step that gives money back.
const REFUND: &str = "refund";

#[derive(Default)]
struct Changes {
    sales: BTreeMap<Uuid, Sale>,
    lines: Vec<SaleLine>,
    refunded: BTreeSet<Uuid>,
}

pub(super) async fn apply(batch: &mut Batch<'_>, events: &[&Recorded]) -> Result<(), ApplyError> {
    let known = row::load(batch, &ids(events)).await?;
    let mut changes = Changes {
        sales: known
            .into_iter()
            .map(|sale| (sale.order_id, sale))
            .collect(),
        ..Changes::default()
    };
    for recorded in events {
        match recorded.subject.aggregate() {
            Some(("order", id)) => changes.of_order(recorded, id)?,
            Some(("payment", id)) => changes.of_payment(recorded, id)?,
            _ => {}
        }
    }
    let sales: Vec<Sale> = changes.sales.into_values().collect();
    row::write(batch, &sales).await?;
    row::add_lines(batch, &changes.lines).await?;
    let refunded: Vec<Uuid> = changes.refunded.into_iter().collect();
    row::share_refunds(batch, &refunded).await
}

impl Changes {
    fn of_order(&mut self, recorded: &Recorded, id: Uuid) -> Result<(), ApplyError> {
        let at = recorded.metadata.occurred_at;
        let event = decode::<order::Event>(recorded)?;
        if let order::Event::Placed(placed) = event {
            let sale = Sale::placed(id, placed.partner_id.uuid(), placed.total.amount);
            self.sales.insert(id, sale);
            for (place, line) in placed.lines.into_iter().enumerate() {
                let line = SaleLine::new(id, place, line, at)
                    .map_err(|cause| ApplyError::event(recorded, cause))?;
                self.lines.push(line);
            }
        } else {
            let sale = self.known(recorded, id)?;
            match event {
                order::Event::Confirmed(_) => sale.confirm(at.to_zoned(TimeZone::UTC).date()),
                // Neither can happen to a confirmed order; if it ever does, it was no sale.
                order::Event::Cancelling(_) | order::Event::Cancelled(_) => {
                    sale.stage = Stage::Cancelled;
                }
                // On its way or there: sold since it was confirmed.
                order::Event::Placed(_)
                | order::Event::Ready(_)
                | order::Event::Assigned(_)
                | order::Event::Delivered(_) => {}
            }
        }
        let sale = self.known(recorded, id)?;
        sale.version = following(recorded, sale.version)?;
        Ok(())
    }

    fn of_payment(&mut self, recorded: &Recorded, id: Uuid) -> Result<(), ApplyError> {
        let back = match decode::<payment::Event>(recorded)? {
            payment::Event::Refunded(e) => e.amount,
            payment::Event::SettledOutside(e) if e.step == REFUND => e.amount,
            _ => return Ok(()),
        };
        let sale = self.known(recorded, id)?;
        sale.refunded = sale.refunded.saturating_add(back.amount);
        self.refunded.insert(id);
        Ok(())
    }

    fn known(&mut self, recorded: &Recorded, id: Uuid) -> Result<&mut Sale, ApplyError> {
        self.sales
            .get_mut(&id)
            .ok_or_else(|| ApplyError::event(recorded, "the order was never placed"))
    }
}
