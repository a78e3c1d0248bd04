//! The shop's account at its payment provider: the one that the settings name, or the sandbox.

use secrecy::SecretString;

use crate::crypto::InstallationKey;
use crate::settings::Settings;

/// Where a sandbox that runs as a service of its own is found, unless said otherwise.
pub const DEFAULT_SANDBOX_URL: &str = "http://127.0.0.1:12111";

/// How the provider is reached, and the secrets shared with it.
#[derive(Debug, Clone)]
pub struct ProviderAccount {
    /// The provider's id in events and routes: `stripe`, or `sandbox`.
    pub id: String,
    /// The base address of its API, without a slash at the end.
    pub url: String,
    /// The secret key (`sk_…`).
    pub api_key: SecretString,
    /// The secret that its callbacks are signed with (`whsec_…`), used whole as the key.
    pub webhook_secret: SecretString,
}

impl ProviderAccount {
    /// The provider of the settings; without one the sandbox, whose secrets all roles of an installation derive alike,
    /// so that nothing has to be stored or handed around.
    #[must_use]
    pub fn of(settings: &Settings, installation: &InstallationKey) -> Self {
        match &settings.payment {
            Some(payment) => Self {
                id: "stripe".to_owned(),
                url: payment.url.clone(),
                api_key: payment.key.clone(),
                webhook_secret: payment.webhook_secret.clone(),
            },
            None => Self::sandbox(DEFAULT_SANDBOX_URL, installation),
        }
    }

    /// The sandbox at this address.
    #[must_use]
    pub fn sandbox(url: &str, installation: &InstallationKey) -> Self {
        let secret = |purpose: &[u8]| installation.keyed_hash("payment-sandbox", purpose);
        Self {
            id: "sandbox".to_owned(),
            url: url.to_owned(),
            api_key: format!("sk_test_{}", secret(b"api key")).into(),
            webhook_secret: format!("whsec_{}", secret(b"webhook secret")).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn all_roles_of_an_installation_share_the_sandboxes_secrets_and_other_installations_do_not() {
        let key = |byte: u8| InstallationKey::from_secret(&[byte; 32]).unwrap();
        let (one, same, other) = (
            ProviderAccount::sandbox("http://x", &key(1)),
            ProviderAccount::sandbox("http://y", &key(1)),
            ProviderAccount::sandbox("http://x", &key(2)),
        );
        assert_eq!(one.api_key.expose_secret(), same.api_key.expose_secret());
        assert_ne!(one.api_key.expose_secret(), other.api_key.expose_secret());
        assert_ne!(
            one.api_key.expose_secret(),
            one.webhook_secret.expose_secret()
        );
    }
}
