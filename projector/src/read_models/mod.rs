//! The read models: a folder each, with its tables, its rows, how events change them, its queries and its routes.

pub mod catalogue;
pub mod customers;
pub mod inbox;
pub mod inventory;
pub mod notification_agents;
pub mod notification_deliveries;
pub mod orders;
pub mod payment_providers;
pub mod resources;
pub mod sales;

use std::sync::Arc;

use crate::migrations::Embedded;
use crate::projection::Projection;

/// Every projection there is.
pub fn all() -> Vec<Arc<dyn Projection>> {
    vec![
        Arc::new(catalogue::Catalogue),
        Arc::new(customers::Customers),
        Arc::new(inbox::Inbox),
        Arc::new(inventory::Inventory),
        Arc::new(notification_agents::NotificationAgents),
        Arc::new(notification_deliveries::NotificationDeliveries),
        Arc::new(orders::Orders),
        Arc::new(payment_providers::PaymentProviders),
        Arc::new(resources::Resources),
        Arc::new(sales::Sales),
    ]
}

/// Their tables.
pub(crate) fn migrations() -> impl Iterator<Item = Embedded> {
    [
        catalogue::MIGRATIONS,
        customers::MIGRATIONS,
        inbox::MIGRATIONS,
        inventory::MIGRATIONS,
        notification_agents::MIGRATIONS,
        notification_deliveries::MIGRATIONS,
        orders::MIGRATIONS,
        payment_providers::MIGRATIONS,
        resources::MIGRATIONS,
        sales::MIGRATIONS,
    ]
    .into_iter()
    .flatten()
    .copied()
}

/// One column of all rows, as an array to bind.
macro_rules! column {
    ($rows:expr, $field:ident) => {
        $rows
            .iter()
            .map(|row| row.$field.clone())
            .collect::<Vec<_>>()
    };
}
pub(crate) use column;

/// One column of times, as an array to bind.
macro_rules! times {
    ($rows:expr, $field:ident) => {
        $rows
            .iter()
            .map(|row| jiff_sqlx::Timestamp::from(row.$field))
            .collect::<Vec<_>>()
    };
}
pub(crate) use times;

/// A text that is looked for anywhere in a column: what means something to `like` is taken literally.
pub(crate) fn anywhere(text: &str) -> String {
    let escaped = text
        .replace('\\', "\\\\")
        .replace('%', "\\%")
        .replace('_', "\\_");
    format!("%{escaped}%")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_projection_has_a_name_and_tables_of_its_own() {
        let mut names: Vec<&str> = all().iter().map(|projection| projection.name()).collect();
        let mut tables: Vec<&str> = all()
            .iter()
            .flat_map(|projection| projection.tables().iter().map(|table| table.name))
            .collect();
        let (name_count, table_count) = (names.len(), tables.len());
        names.dedup();
        tables.sort_unstable();
        tables.dedup();
        assert_eq!((names.len(), tables.len()), (name_count, table_count));
    }

    #[test]
    fn what_like_would_interpret_is_searched_for_as_it_is() {
        assert_eq!(anywhere(r"50%_a\b"), r"%50\%\_a\\b%");
    }
}
