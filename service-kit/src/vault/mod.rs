//! The vault: personal keys, secrets, and what people sign in with, in a schema of their own that is backed up apart
//! from everything else.
//!
//! Events carry personal data sealed under the person's key. Destroying that key makes the data unreadable in every
//! event, state and backup at once. All that lies here is wrapped under the installation's key, so a copy of the
//! database alone opens nothing.

mod attempts;
mod cache;
mod codes;
mod credentials;
mod erased;
mod rotation;
mod schema;
mod sessions;
mod sweep;
mod wrap;

use std::collections::HashMap;
use std::fmt;

use event_schema::PersonalKey;
use secrecy::{ExposeSecret, SecretString};
use sqlx::PgPool;
use thiserror::Error;
use uuid::Uuid;

use crate::crypto::{CryptoError, InstallationKey};
use crate::postgres;
use crate::problem::Problem;
pub use attempts::Allowance;
use cache::{KeyCache, Known};
pub use codes::{CODE_TRIES_MAX, CODE_TTL, Purpose};
pub use credentials::Credential;
pub use rotation::Rotated;
pub use schema::migrator;
pub use sessions::{
    Opened, REFRESH_TOKEN_TTL, REUSE_GRACE, Rotation, SESSION_TTL, SESSIONS_PER_PERSON_MAX,
};
use wrap::Wrapping;

/// Why the vault cannot do what was asked.
#[derive(Debug, Error)]
pub enum VaultError {
    /// The person was erased: no key is ever made for him again.
    #[error("the personal data of {0} was erased")]
    Erased(Uuid),
    /// What lies in the vault was wrapped under another installation's key, or damaged.
    #[error(
        "the vault holds {what} of {id} under another signing key, or it is damaged; was the signing key file replaced?"
    )]
    Unreadable {
        /// What kind of thing.
        what: &'static str,
        /// Whose.
        id: Uuid,
    },
    /// The database is away or refuses.
    #[error("the vault's database failed")]
    Database(#[from] sqlx::Error),
    /// The process's cryptography failed.
    #[error("the vault's cryptography failed")]
    Crypto(#[from] CryptoError),
    /// A new key could not be made.
    #[error("a personal key could not be made")]
    Key(#[from] event_schema::sealed::SealError),
}

impl From<VaultError> for Problem {
    fn from(error: VaultError) -> Self {
        match &error {
            VaultError::Erased(_) => Self::conflict(
                "personal_data_erased",
                "the personal data of this account was erased; it cannot be used any more",
            ),
            VaultError::Database(cause) if postgres::is_unavailable(cause) => {
                Self::database_unavailable()
            }
            _ => Self::unexpected(&error),
        }
    }
}

/// Personal keys and secrets. Cheap to clone; clones share their cache.
#[derive(Clone)]
pub struct Vault {
    pool: PgPool,
    wrapping: Wrapping,
    hashing: InstallationKey,
    cache: KeyCache,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").finish_non_exhaustive()
    }
}

impl Vault {
    /// The vault in the schema `vault` of this database, opened with the installation's key.
    ///
    /// # Errors
    /// When the wrapping key cannot be derived.
    pub fn new(pool: PgPool, key: &InstallationKey) -> Result<Self, VaultError> {
        Ok(Self {
            pool,
            wrapping: Wrapping::new(key)?,
            hashing: key.clone(),
            cache: KeyCache::new(),
        })
    }

    /// The person's key, made now if there is none. It is durable when this returns: what is sealed under it may be
    /// appended afterwards and never before.
    ///
    /// # Errors
    /// [`VaultError::Erased`] when the key was destroyed; else when the database fails.
    pub async fn personal_key(&self, person: Uuid) -> Result<PersonalKey, VaultError> {
        match self.cache.get(person) {
            Some(Known::Key(key)) => return Ok(key),
            Some(Known::Destroyed) => return Err(VaultError::Erased(person)),
            None => {}
        }
        if let Some(known) = self.look_up(person).await? {
            return known.key().ok_or(VaultError::Erased(person));
        }
        let wrapped =
            self.wrapping
                .wrap("personal_key", person, PersonalKey::generate()?.expose())?;
        let mut transaction = postgres::begin(&self.pool).await?;
        // Whatever the database's own default: a key lost in a crash is a person's data lost for ever.
        sqlx::query("set local synchronous_commit = on")
            .execute(&mut *transaction)
            .await?;
        // Of two that make a key at once one wins, and both read the winner's below.
        sqlx::query(
            "insert into vault.personal_keys (person, wrapped_key) values ($1, $2) on conflict (person) do nothing",
        )
        .bind(person)
        .bind(wrapped)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        self.look_up(person)
            .await?
            .and_then(Known::key)
            .ok_or(VaultError::Erased(person))
    }

    /// The person's key for reading; `None` when it was destroyed or there never was one, in which case sealed data
    /// reads as nothing.
    ///
    /// # Errors
    /// When the database fails or the key cannot be unwrapped.
    pub async fn open(&self, person: Uuid) -> Result<Option<PersonalKey>, VaultError> {
        match self.cache.get(person) {
            Some(known) => Ok(known.key()),
            None => Ok(self.look_up(person).await?.and_then(Known::key)),
        }
    }

    /// The keys of many persons in one question; those without a key are left out.
    ///
    /// # Errors
    /// When the database fails or a key cannot be unwrapped.
    pub async fn open_many(
        &self,
        persons: &[Uuid],
    ) -> Result<HashMap<Uuid, PersonalKey>, VaultError> {
        let mut keys = HashMap::with_capacity(persons.len());
        let mut unknown = Vec::new();
        for person in persons {
            match self.cache.get(*person) {
                Some(Known::Key(key)) => {
                    keys.insert(*person, key);
                }
                Some(Known::Destroyed) => {}
                None => unknown.push(*person),
            }
        }
        if unknown.is_empty() {
            return Ok(keys);
        }
        let epoch = self.cache.epoch();
        let rows: Vec<(Uuid, Option<Vec<u8>>)> = sqlx::query_as(
            "select person, wrapped_key from vault.personal_keys where person = any($1)",
        )
        .bind(&unknown)
        .fetch_all(&self.pool)
        .await?;
        for (person, wrapped) in rows {
            let known = self.unwrap_key(person, wrapped.as_deref())?;
            self.cache.put(epoch, person, known.clone());
            if let Some(key) = known.key() {
                keys.insert(person, key);
            }
        }
        Ok(keys)
    }

    /// Destroys the person's key, for ever and for everybody. Also for somebody who never had one, so that none is made
    /// later. Other processes notice within the lifetime of their caches (a minute), or at once by [`Vault::forget`].
    ///
    /// # Errors
    /// When the database fails.
    pub async fn destroy(&self, person: Uuid) -> Result<(), VaultError> {
        let mut transaction = postgres::begin(&self.pool).await?;
        sqlx::query("set local synchronous_commit = on")
            .execute(&mut *transaction)
            .await?;
        sqlx::query(
            "insert into vault.personal_keys (person, wrapped_key, destroyed_at) values ($1, null, now()) \
             on conflict (person) do update set wrapped_key = null, \
             destroyed_at = coalesce(personal_keys.destroyed_at, excluded.destroyed_at)",
        )
        .bind(person)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        self.cache.destroyed(person);
        Ok(())
    }

    /// Drops the person's key from this process's cache, when an event says that it was destroyed elsewhere.
    pub fn forget(&self, person: Uuid) {
        self.cache.forget(person);
    }

    /// Stores a secret, in place of the one of the same kind and id.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn put_secret(
        &self,
        kind: &'static str,
        id: Uuid,
        secret: &SecretString,
    ) -> Result<(), VaultError> {
        let wrapped = self
            .wrapping
            .wrap(kind, id, secret.expose_secret().as_bytes())?;
        sqlx::query(
            "insert into vault.secrets (kind, id, wrapped_secret) values ($1, $2, $3) \
             on conflict (kind, id) do update set wrapped_secret = excluded.wrapped_secret, updated_at = now()",
        )
        .bind(kind)
        .bind(id)
        .bind(wrapped)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Stores a secret unless there is one, and answers with the one that holds. A command that is repeated so finds
    /// the secret of its first run.
    ///
    /// # Errors
    /// When the database fails or the stored secret cannot be unwrapped.
    pub async fn keep_secret(
        &self,
        kind: &'static str,
        id: Uuid,
        secret: &SecretString,
    ) -> Result<SecretString, VaultError> {
        let wrapped = self
            .wrapping
            .wrap(kind, id, secret.expose_secret().as_bytes())?;
        // The update changes nothing; it makes the statement answer with the row in both cases.
        let (holds,): (Vec<u8>,) = sqlx::query_as(
            "insert into vault.secrets (kind, id, wrapped_secret) values ($1, $2, $3) \
             on conflict (kind, id) do update set kind = excluded.kind returning wrapped_secret",
        )
        .bind(kind)
        .bind(id)
        .bind(wrapped)
        .fetch_one(&self.pool)
        .await?;
        self.unwrap_secret(kind, id, &holds)
    }

    /// The secret of this kind and id.
    ///
    /// # Errors
    /// When the database fails or the secret cannot be unwrapped.
    pub async fn get_secret(
        &self,
        kind: &'static str,
        id: Uuid,
    ) -> Result<Option<SecretString>, VaultError> {
        let row: Option<(Vec<u8>,)> =
            sqlx::query_as("select wrapped_secret from vault.secrets where kind = $1 and id = $2")
                .bind(kind)
                .bind(id)
                .fetch_optional(&self.pool)
                .await?;
        row.map(|(wrapped,)| self.unwrap_secret(kind, id, &wrapped))
            .transpose()
    }

    /// Removes the secret of this kind and id, if there is one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn remove_secret(&self, kind: &'static str, id: Uuid) -> Result<(), VaultError> {
        sqlx::query("delete from vault.secrets where kind = $1 and id = $2")
            .bind(kind)
            .bind(id)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    async fn look_up(&self, person: Uuid) -> Result<Option<Known>, VaultError> {
        let epoch = self.cache.epoch();
        let row: Option<(Option<Vec<u8>>,)> =
            sqlx::query_as("select wrapped_key from vault.personal_keys where person = $1")
                .bind(person)
                .fetch_optional(&self.pool)
                .await?;
        let Some((wrapped,)) = row else {
            // Not remembered: a key may be made at any moment.
            return Ok(None);
        };
        let known = self.unwrap_key(person, wrapped.as_deref())?;
        self.cache.put(epoch, person, known.clone());
        Ok(Some(known))
    }

    fn unwrap_key(&self, person: Uuid, wrapped: Option<&[u8]>) -> Result<Known, VaultError> {
        let Some(wrapped) = wrapped else {
            return Ok(Known::Destroyed);
        };
        let unreadable = || VaultError::Unreadable {
            what: "the personal key",
            id: person,
        };
        let bytes = self
            .wrapping
            .unwrap("personal_key", person, wrapped)
            .ok_or_else(unreadable)?;
        PersonalKey::from_bytes(&bytes)
            .map(Known::Key)
            .map_err(|_| unreadable())
    }

    fn unwrap_secret(
        &self,
        kind: &'static str,
        id: Uuid,
        wrapped: &[u8],
    ) -> Result<SecretString, VaultError> {
        self.wrapping
            .unwrap(kind, id, wrapped)
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .map(SecretString::from)
            .ok_or(VaultError::Unreadable { what: kind, id })
    }
}
