//! Passwords: Argon2id away from the async threads, a few at a time, and the same work whether somebody is known or not.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::rand;
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;
use tokio::sync::{OnceCell, Semaphore};

use crate::problem::Problem;
use crate::validation::Validation;

/// Shortest password.
pub const PASSWORD_CHARS_MIN: usize = 8;
/// Longest password.
pub const PASSWORD_CHARS_MAX: usize = 128;
/// Longest password in bytes, whatever script it is written in.
pub const PASSWORD_BYTES_MAX: usize = 512;
/// 19 MiB, two passes, one lane: what OWASP asks for at least.
const MEMORY_KIB: u32 = 19 * 1_024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const SALT_BYTES: usize = 16;
/// Hashes that are computed at one moment: memory and processors are shared with all other requests.
const AT_ONCE_MAX: usize = 4;
/// A request waits this long for its turn.
const TURN_LIMIT: Duration = Duration::from_secs(10);

/// Why a password could not be hashed or checked.
#[derive(Debug, Error)]
pub enum PasswordError {
    /// Too many others are being checked.
    #[error("too many passwords are being checked at this moment")]
    Busy,
    /// The hash could not be computed, or what is stored is not one.
    #[error("a password hash could not be computed: {0}")]
    Hash(String),
}

impl From<PasswordError> for Problem {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Busy => Self::busy(error.to_string()),
            PasswordError::Hash(_) => Self::unexpected(&error),
        }
    }
}

/// What came of checking a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is another one, or nobody's.
    Wrong,
    /// It is the one.
    Right,
    /// It is the one, and its hash is weaker than those made today.
    RightButWeak,
}

/// Hashes and checks passwords. Cheap to clone; clones share their limits.
#[derive(Debug, Clone)]
pub struct Passwords {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    params: Params,
    turns: Arc<Semaphore>,
    /// What the password of nobody is checked against.
    decoy: OnceCell<String>,
    computed: AtomicU64,
}

impl Passwords {
    /// With the parameters of today.
    ///
    /// # Errors
    /// Never for the constants used here; typed instead of a panic.
    pub fn new() -> Result<Self, PasswordError> {
        Self::with(MEMORY_KIB, PASSES)
    }

    fn with(memory_kib: u32, passes: u32) -> Result<Self, PasswordError> {
        let params = Params::new(memory_kib, passes, LANES, None).map_err(hash_error)?;
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            shared: Arc::new(Shared {
                params,
                turns: Arc::new(Semaphore::new(processors.min(AT_ONCE_MAX))),
                decoy: OnceCell::new(),
                computed: AtomicU64::new(0),
            }),
        })
    }

    /// The hash of a new password, as a PHC string.
    ///
    /// # Errors
    /// When too many others are being computed.
    pub async fn hash(&self, password: &SecretString) -> Result<SecretString, PasswordError> {
        let (password, params) = (password.clone(), self.shared.params.clone());
        let hash = self
            .compute(move || hash_with(&params, password.expose_secret()))
            .await?;
        Ok(SecretString::from(hash))
    }

    /// Checks a password against the stored hash, or against that of nobody, which takes as long.
    ///
    /// # Errors
    /// When too many others are being computed, or what is stored is not a hash.
    pub async fn check(
        &self,
        password: &SecretString,
        stored: Option<&SecretString>,
    ) -> Result<Verdict, PasswordError> {
        let (hash, known) = match stored {
            Some(stored) => (stored.expose_secret().to_owned(), true),
            None => (self.decoy().await?.clone(), false),
        };
        let (password, params) = (password.clone(), self.shared.params.clone());
        let verdict = self
            .compute(move || check_with(&params, password.expose_secret(), &hash))
            .await?;
        Ok(if known { verdict } else { Verdict::Wrong })
    }

    /// Prepares what the first check of nobody's password would otherwise have to.
    ///
    /// # Errors
    /// When too many others are being computed.
    pub async fn warm_up(&self) -> Result<(), PasswordError> {
        self.decoy().await.map(|_| ())
    }

    /// How many hashes were computed so far: what a caller's time is spent on.
    #[must_use]
    pub fn computed(&self) -> u64 {
        self.shared.computed.load(Ordering::Relaxed)
    }

    async fn decoy(&self) -> Result<&String, PasswordError> {
        let make = || async {
            let mut random = [0_u8; SALT_BYTES];
            rand::fill(&mut random).map_err(|error| PasswordError::Hash(error.to_string()))?;
            let nobodys = SecretString::from(hex::encode(random));
            Ok(self.hash(&nobodys).await?.expose_secret().to_owned())
        };
        self.shared.decoy.get_or_try_init(make).await
    }

    async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let turn = Arc::clone(&self.shared.turns).acquire_owned();
        let turn = match tokio::time::timeout(TURN_LIMIT, turn).await {
            Ok(Ok(turn)) => turn,
            Ok(Err(_)) | Err(_) => return Err(PasswordError::Busy),
        };
        self.shared.computed.fetch_add(1, Ordering::Relaxed);
        metrics::counter!("waybill_password_hashes_total").increment(1);
        let done = tokio::task::spawn_blocking(move || {
            // Held until the work ends, also when whoever asked has gone.
            let _turn = turn;
            work()
        });
        done.await
            .map_err(|error| PasswordError::Hash(error.to_string()))?
    }
}

/// Notes what is wrong with a new password.
pub fn validate(validation: &mut Validation, pointer: &str, password: &SecretString) {
    let password = password.expose_secret();
    let chars = password.chars().count();
    if chars < PASSWORD_CHARS_MIN {
        validation.add(
            pointer,
            "too_short",
            format!("a password has at least {PASSWORD_CHARS_MIN} characters"),
        );
    } else if chars > PASSWORD_CHARS_MAX || password.len() > PASSWORD_BYTES_MAX {
        validation.add(
            pointer,
            "too_long",
            format!(
                "a password has at most {PASSWORD_CHARS_MAX} characters and {PASSWORD_BYTES_MAX} bytes"
            ),
        );
    }
}

/// Whether it is worth the work to check it: nobody has a password that is longer.
#[must_use]
pub fn is_possible(password: &SecretString) -> bool {
    let password = password.expose_secret();
    password.len() <= PASSWORD_BYTES_MAX && password.chars().count() <= PASSWORD_CHARS_MAX
}

fn hash_with(params: &Params, password: &str) -> Result<String, PasswordError> {
    let mut salt = [0_u8; SALT_BYTES];
    rand::fill(&mut salt).map_err(|error| PasswordError::Hash(error.to_string()))?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
    let hash: PasswordHash = argon2
        .hash_password_with_salt(password.as_bytes(), &salt)
        .map_err(hash_error)?;
    Ok(hash.to_string())
}

fn check_with(params: &Params, password: &str, stored: &str) -> Result<Verdict, PasswordError> {
    let hash = PasswordHash::new(stored).map_err(hash_error)?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
    if argon2.verify_password(password.as_bytes(), &hash).is_err() {
        return Ok(Verdict::Wrong);
    }
    let its = Params::try_from(&hash).map_err(hash_error)?;
    let weak = hash.algorithm.as_str() != "argon2id"
        || its.m_cost() < params.m_cost()
        || its.t_cost() < params.t_cost();
    Ok(if weak {
        Verdict::RightButWeak
    } else {
        Verdict::Right
    })
}

fn hash_error(error: impl std::fmt::Display) -> PasswordError {
    PasswordError::Hash(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> SecretString {
        SecretString::from(text)
    }

    #[tokio::test]
    async fn only_the_password_itself_is_right_and_no_two_hashes_are_alike() {
        let passwords = Passwords::new().unwrap();
        let hash = passwords.hash(&secret("correct horse")).await.unwrap();
        let other = passwords.hash(&secret("correct horse")).await.unwrap();
        assert_ne!(hash.expose_secret(), other.expose_secret());
        assert!(
            hash.expose_secret()
                .starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{}",
            hash.expose_secret()
        );
        let check = |text: &'static str| {
            let (passwords, hash) = (passwords.clone(), hash.clone());
            async move { passwords.check(&secret(text), Some(&hash)).await.unwrap() }
        };
        assert_eq!(check("correct horse").await, Verdict::Right);
        assert_eq!(check("correct horsf").await, Verdict::Wrong);
    }

    #[tokio::test]
    async fn nobodys_password_costs_the_same_work_as_somebodys() {
        let passwords = Passwords::new().unwrap();
        passwords.warm_up().await.unwrap();
        let hash = passwords.hash(&secret("correct horse")).await.unwrap();
        let before = passwords.computed();
        passwords
            .check(&secret("wrong"), Some(&hash))
            .await
            .unwrap();
        let wrong = passwords.computed() - before;
        assert_eq!(
            passwords.check(&secret("wrong"), None).await.unwrap(),
            Verdict::Wrong
        );
        assert_eq!((wrong, passwords.computed() - before - wrong), (1, 1));
    }

    #[tokio::test]
    async fn a_hash_of_weaker_parameters_is_told() {
        let before = Passwords::with(8 * 1_024, 1).unwrap();
        let hash = before.hash(&secret("correct horse")).await.unwrap();
        let now = Passwords::new().unwrap();
        assert_eq!(
            now.check(&secret("correct horse"), Some(&hash))
                .await
                .unwrap(),
            Verdict::RightButWeak
        );
        assert!(
            now.check(&secret("x"), Some(&secret("no hash")))
                .await
                .is_err()
        );
    }

    #[test]
    fn a_password_is_neither_short_nor_endless() {
        let complaints = |text: &str| {
            let mut validation = Validation::new();
            validate(&mut validation, "/password", &secret(text));
            !validation.is_clean()
        };
        assert!(complaints("seven77"));
        assert!(!complaints("eight888"));
        assert!(!complaints(&"ö".repeat(128)));
        assert!(complaints(&"x".repeat(129)));
        assert!(complaints(&"🦆".repeat(129)));
    }
}
