//! What opens personal data and signs webhooks; asked for at the moment of sending and not before.

use async_trait::async_trait;
use event_schema::{PersonalKey, Timestamp};
use secrecy::SecretString;
use service_kit::standard_webhooks::PARTNER_SECRET;
use service_kit::vault::Vault;
use uuid::Uuid;

/// The keys cannot be had now.
#[derive(Debug, thiserror::Error)]
#[error("the vault cannot be asked: {0}")]
pub struct Locked(pub String);

/// Where keys and secrets are.
#[async_trait]
pub trait Keys: Send + Sync {
    /// The person's key; none when it was destroyed.
    async fn of_person(&self, person: Uuid) -> Result<Option<PersonalKey>, Locked>;
    /// What messages to the partner are signed with, the newest first: while secrets are rotated, the one before too.
    async fn of_webhook(&self, partner: Uuid, now: Timestamp) -> Result<Vec<SecretString>, Locked>;
    /// The person's data was erased elsewhere: what is remembered of his key is not used any more.
    fn forget(&self, _person: Uuid) {}
}

#[async_trait]
impl Keys for Vault {
    async fn of_person(&self, person: Uuid) -> Result<Option<PersonalKey>, Locked> {
        self.open(person)
            .await
            .map_err(|error| Locked(error.to_string()))
    }

    async fn of_webhook(&self, partner: Uuid, now: Timestamp) -> Result<Vec<SecretString>, Locked> {
        self.believed_secrets(PARTNER_SECRET, partner, now)
            .await
            .map_err(|error| Locked(error.to_string()))
    }

    fn forget(&self, person: Uuid) {
        Self::forget(self, person);
    }
}
