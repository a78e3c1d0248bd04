//! Personal data: sealed in the log, opened when it becomes a row.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use event_schema::{PersonalKey, Recorded, Sealed};
use service_kit::vault::{Vault, VaultError};

use crate::projection::ApplyError;

/// Opens what a person's key still opens.
#[derive(Clone, Debug)]
pub struct Personal {
    vault: Vault,
}

/// The keys cannot be read at the moment.
#[derive(Debug, thiserror::Error)]
#[error("the vault cannot be read")]
pub struct PersonalError(#[from] pub(crate) VaultError);

impl Personal {
    /// Keys come from this vault.
    pub fn new(vault: Vault) -> Self {
        Self { vault }
    }

    /// The keys of these persons; whoever has none any more is left out.
    pub async fn keys(
        &self,
        persons: &BTreeSet<Uuid>,
    ) -> Result<BTreeMap<Uuid, PersonalKey>, PersonalError> {
        let persons: Vec<Uuid> = persons.iter().copied().collect();
        Ok(self.vault.open_many(&persons).await?.into_iter().collect())
    }
}

/// Opens a value of an event; nothing without a key, and an event that cannot be applied when the key does not fit.
pub(crate) fn open<T: Serialize + DeserializeOwned>(
    event: &Recorded,
    sealed: &Sealed<T>,
    keys: &BTreeMap<Uuid, PersonalKey>,
) -> Result<Option<T>, ApplyError> {
    sealed
        .open(keys.get(&sealed.person))
        .map_err(|error| ApplyError::event(event, error))
}
