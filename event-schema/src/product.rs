//! What can happen to a product in the catalogue.

use serde::{Deserialize, Serialize};

use crate::event_set::event_set;
use crate::ids::PartnerId;
use crate::money::Money;

/// What a product is, as people see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Details {
    /// Name.
    pub name: String,
    /// Brand, for filters and reports.
    pub brand: String,
    /// Category, for filters and reports.
    pub category: String,
    /// Size, where there is one.
    pub size: Option<String>,
    /// Colour, where there is one.
    pub color: Option<String>,
    /// Free text.
    pub description: Option<String>,
    /// Where its picture is.
    pub picture_url: Option<String>,
    /// What one unit costs the seller; the basis of profit.
    pub unit_cost: Money,
}

/// A product exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Added {
    /// The seller's own name for it; held by one product at a time.
    pub sku: String,
    /// Keyed hash of the normalised SKU: the key of the uniqueness record.
    pub sku_key: String,
    /// The partner who added it; none when an admin did.
    pub partner_id: Option<PartnerId>,
    /// What it is.
    pub details: Details,
}

/// The product is described anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// What it is from now on.
    pub details: Details,
}

/// The product is not sold any more; its SKU is free again, its past orders stay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {}

event_set! {
    /// A product's events.
    pub enum Event of "product" {
        /// A product exists.
        "product.added" 1 => Added(Added),
        /// The product is described anew.
        "product.changed" 1 => Changed(Changed),
        /// The product is not sold any more.
        "product.removed" 1 => Removed(Removed),
    }
    upcasts []
}
