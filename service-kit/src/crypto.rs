//! Keyed hashes and ids of commands, on the one crypto provider of the whole process (aws-lc-rs).

use std::fmt;

use aws_lc_rs::{hkdf, hmac};
use serde::Serialize;
use serde_json::Value;
use thiserror::Error;
use uuid::Uuid;

/// Separates this use of the signing key from every other one.
const INSTALLATION_SALT: &[u8] = b"waybill/installation-key/v1";
/// Length of every key derived here.
pub const DERIVED_KEY_BYTES: usize = 32;

/// What can go wrong with the process's cryptography.
#[derive(Debug, Error)]
pub enum CryptoError {
    /// Another library installed a different TLS provider first.
    #[error("another TLS crypto provider is installed in this process; Waybill needs aws-lc-rs")]
    ForeignProvider,
    /// A key could not be derived; only an impossible length does this.
    #[error("a key could not be derived")]
    Derivation,
}

/// Installs aws-lc-rs as the TLS provider of this process. Call it first in `main`; calling it again is harmless.
///
/// # Errors
/// When another provider was installed before.
pub fn install() -> Result<(), CryptoError> {
    if rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .is_ok()
    {
        return Ok(());
    }
    // Somebody was first. Ours is the only one that knows these very key-exchange groups and suites in this order.
    let installed = rustls::crypto::CryptoProvider::get_default();
    let ours = rustls::crypto::aws_lc_rs::default_provider();
    match installed {
        Some(theirs) if theirs.cipher_suites == ours.cipher_suites => Ok(()),
        _ => Err(CryptoError::ForeignProvider),
    }
}

/// A secret of this installation, derived from its signing key: hashes made with it cannot be guessed from outside.
#[derive(Clone)]
pub struct InstallationKey {
    root: [u8; DERIVED_KEY_BYTES],
    hashing: hmac::Key,
}

impl fmt::Debug for InstallationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InstallationKey(hidden)")
    }
}

impl InstallationKey {
    /// Derives the installation's key from secret bytes (the seed of the signing key).
    ///
    /// # Errors
    /// Never for the fixed lengths used here; typed instead of a panic.
    pub fn from_secret(secret: &[u8]) -> Result<Self, CryptoError> {
        let mut root = [0_u8; DERIVED_KEY_BYTES];
        expand(
            &hkdf::Salt::new(hkdf::HKDF_SHA256, INSTALLATION_SALT).extract(secret),
            "root",
            &mut root,
        )?;
        let mut hashing = [0_u8; DERIVED_KEY_BYTES];
        derive(&root, "keyed-hash", &mut hashing)?;
        Ok(Self {
            root,
            hashing: hmac::Key::new(hmac::HMAC_SHA256, &hashing),
        })
    }

    /// A key for one purpose, for example wrapping the keys of the vault.
    ///
    /// # Errors
    /// Never for the fixed lengths used here; typed instead of a panic.
    pub fn derive(&self, purpose: &str) -> Result<[u8; DERIVED_KEY_BYTES], CryptoError> {
        let mut key = [0_u8; DERIVED_KEY_BYTES];
        derive(&self.root, purpose, &mut key)?;
        Ok(key)
    }

    /// HMAC-SHA256 of `bytes` in lower-case hex. Equal bytes in different domains give unrelated hashes.
    #[must_use]
    pub fn keyed_hash(&self, domain: &str, bytes: &[u8]) -> String {
        let mut context = hmac::Context::with_key(&self.hashing);
        // The length keeps ("ab", "c") and ("a", "bc") apart.
        context.update(&(domain.len() as u64).to_be_bytes());
        context.update(domain.as_bytes());
        context.update(bytes);
        hex::encode(context.sign().as_ref())
    }

    /// The hash stored with a command's first event, by which the same Idempotency-Key with another body is noticed.
    /// `command` is the parsed command without secrets; neither the order of its fields nor white space counts.
    ///
    /// # Errors
    /// When the command has no JSON form (a map whose keys are not strings).
    pub fn command_hash(&self, command: &impl Serialize) -> Result<String, serde_json::Error> {
        let mut canonical = Vec::new();
        write_canonical(&serde_json::to_value(command)?, &mut canonical)?;
        Ok(self.keyed_hash("command", &canonical))
    }
}

/// The id of a command: the same caller, verb and Idempotency-Key give the same id at every door, for ever.
///
/// `area_verb` is `<area>.<verb>`, for example `orders.place`.
#[must_use]
pub fn command_id(caller: Uuid, area_verb: &str, idempotency_key: &str) -> Uuid {
    // Neither part can contain a line feed: verbs are ours, keys are visible ASCII.
    Uuid::new_v5(
        &caller,
        format!("{area_verb}\n{idempotency_key}").as_bytes(),
    )
}

struct KeyBytes;

impl hkdf::KeyType for KeyBytes {
    fn len(&self) -> usize {
        DERIVED_KEY_BYTES
    }
}

fn derive(root: &[u8], purpose: &str, out: &mut [u8]) -> Result<(), CryptoError> {
    expand(
        &hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, root),
        purpose,
        out,
    )
}

fn expand(prk: &hkdf::Prk, label: &str, out: &mut [u8]) -> Result<(), CryptoError> {
    prk.expand(&[label.as_bytes()], KeyBytes)
        .and_then(|okm| okm.fill(out))
        .map_err(|_| CryptoError::Derivation)
}

/// JSON with sorted keys and no white space: the map's own order depends on a feature that any crate can switch on.
fn write_canonical(value: &Value, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    match value {
        Value::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_by(|left, right| left.0.cmp(right.0));
            out.push(b'{');
            for (index, (name, member)) in sorted.into_iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                serde_json::to_writer(&mut *out, name)?;
                out.push(b':');
                write_canonical(member, out)?;
            }
            out.push(b'}');
        }
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_canonical(item, out)?;
            }
            out.push(b']');
        }
        scalar => serde_json::to_writer(&mut *out, scalar)?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key(secret: &[u8]) -> InstallationKey {
        InstallationKey::from_secret(secret).unwrap()
    }

    #[test]
    fn installing_the_provider_twice_is_harmless() {
        install().unwrap();
        install().unwrap();
    }

    #[test]
    fn a_keyed_hash_depends_on_key_domain_and_bytes_and_on_nothing_else() {
        let one = key(b"one");
        let hash = one.keyed_hash("email", b"ada@example.org");
        assert_eq!(hash.len(), 64);
        assert_eq!(hash, key(b"one").keyed_hash("email", b"ada@example.org"));
        assert_ne!(hash, key(b"two").keyed_hash("email", b"ada@example.org"));
        assert_ne!(hash, one.keyed_hash("sku", b"ada@example.org"));
        assert_ne!(hash, one.keyed_hash("email", b"bob@example.org"));
        assert_ne!(one.keyed_hash("ab", b"c"), one.keyed_hash("a", b"bc"));
    }

    #[test]
    fn keys_of_different_purposes_are_unrelated() {
        let one = key(b"one");
        assert_ne!(one.derive("vault").unwrap(), one.derive("other").unwrap());
        assert_eq!(
            one.derive("vault").unwrap(),
            key(b"one").derive("vault").unwrap()
        );
    }

    #[test]
    fn the_hash_of_a_command_ignores_the_order_of_its_fields() {
        let one = key(b"one");
        let left: Value = serde_json::from_str(r#"{"a":[{"x":1,"y":2}],"b":"c"}"#).unwrap();
        let right: Value = serde_json::from_str(r#"{"b":"c","a":[{"y":2,"x":1}]}"#).unwrap();
        assert_eq!(
            one.command_hash(&left).unwrap(),
            one.command_hash(&right).unwrap()
        );
        let swapped = json!({"a": [{"x": 2, "y": 1}], "b": "c"});
        assert_ne!(
            one.command_hash(&left).unwrap(),
            one.command_hash(&swapped).unwrap()
        );
    }

    #[test]
    fn a_command_id_is_the_same_for_the_same_caller_verb_and_key_only() {
        let ada = Uuid::from_u128(1);
        let bob = Uuid::from_u128(2);
        let id = command_id(ada, "orders.place", "k-1");
        assert_eq!(id, command_id(ada, "orders.place", "k-1"));
        assert_eq!(id.get_version_num(), 5);
        assert_ne!(id, command_id(bob, "orders.place", "k-1"));
        assert_ne!(id, command_id(ada, "orders.check", "k-1"));
        assert_ne!(id, command_id(ada, "orders.place", "k-2"));
    }
}
