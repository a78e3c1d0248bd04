//! Stands in for the services that bring messages to people: a mail server (SMTP), a mail API of Resend's shape, an SMS
//! API of Twilio's, Firebase Cloud Messaging with its token endpoint, a push service for browsers, and a partner who
//! takes webhooks. What arrives is kept and shown at `GET /messages`; nothing of it leaves the machine.
//!
//! It is for demonstrations and tests, listens on loopback and believes every account. It fails on demand
//! ([`fault`]), and it knows an idempotency key exactly where the real service does.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "tests fail by panicking"
    )
)]

mod account;
mod answer;
pub mod fault;
mod fcm;
mod mail_api;
mod message;
mod page;
mod role;
mod service;
mod sms;
mod smtp;
mod store;
mod web_push;
mod webhook;

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;

pub use account::{AccountError, FcmAccount};
pub use fault::Faults;
pub use message::{Channel, Message, Via};
pub use role::{MessageSandboxArgs, run};
pub use service::serve;
pub use store::{Store, StoreError};

/// The largest request body, and the largest mail.
pub(crate) const MESSAGE_BYTES_MAX: usize = 1024 * 1024;
/// How many messages are kept.
const KEPT: usize = 1_000;

/// How a sandbox is set up.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where messages and the push account are kept; nowhere without one.
    pub folder: Option<PathBuf>,
    /// How many messages are kept.
    pub kept: usize,
    /// Under which address it is reached, without a slash at the end.
    pub public_url: String,
}

impl Config {
    /// Reached under this address, with the usual number of messages in memory only.
    #[must_use]
    pub fn new(public_url: &str) -> Self {
        Self {
            folder: None,
            kept: KEPT,
            public_url: public_url.to_owned(),
        }
    }

    /// Keeps what arrives in a folder.
    #[must_use]
    pub fn in_folder(mut self, folder: PathBuf) -> Self {
        self.folder = Some(folder);
        self
    }
}

/// The sandbox. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct Sandbox {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    faults: Faults,
    account: FcmAccount,
    granted: fcm::Granted,
    public_url: String,
}

impl Sandbox {
    /// Opens what an earlier run has left.
    ///
    /// # Errors
    /// When the folder cannot be used, or no push account can be made.
    pub fn open(config: &Config) -> Result<Self, OpenError> {
        let (store, account) = match &config.folder {
            Some(folder) => (
                Store::open(folder, config.kept)?,
                FcmAccount::load_or_create(folder, &config.public_url)?,
            ),
            None => (
                Store::in_memory(config.kept),
                FcmAccount::create(&config.public_url)?,
            ),
        };
        Ok(Self {
            inner: Arc::new(Inner {
                store,
                faults: Faults::default(),
                account,
                granted: fcm::Granted::default(),
                public_url: config.public_url.clone(),
            }),
        })
    }

    /// Every route.
    pub fn router(&self) -> Router {
        Router::new()
            .merge(page::routes())
            .merge(fault::routes())
            .merge(mail_api::routes())
            .merge(sms::routes())
            .merge(fcm::routes())
            .merge(web_push::routes())
            .merge(webhook::routes())
            .layer(DefaultBodyLimit::max(MESSAGE_BYTES_MAX))
            .with_state(self.clone())
    }

    /// What has arrived.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// What fails.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.inner.faults
    }

    /// The service account that pushes are sent as.
    #[must_use]
    pub fn account(&self) -> &FcmAccount {
        &self.inner.account
    }

    fn granted(&self) -> &fcm::Granted {
        &self.inner.granted
    }

    fn public_url(&self) -> &str {
        &self.inner.public_url
    }
}

/// Why a sandbox cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The messages of the last run cannot be read or kept.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The push account cannot be read or made.
    #[error(transparent)]
    Account(#[from] AccountError),
}
