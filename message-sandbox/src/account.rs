//! The service account that pushes are sent as, in the form of Google's key files; made once, and different in every
//! installation.

use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::hkdf;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

const FILE: &str = "fcm-account.json";
const PROJECT: &str = "waybill-demo";
const PEM_LINE: usize = 64;

/// Why there is no account.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The file cannot be read or written.
    #[error("{path} cannot be used")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{0} holds no service account; remove it, and a new one is made")]
    Unreadable(PathBuf),
    /// The process's cryptography failed.
    #[error("no key can be made")]
    Key,
}

/// A key file as Google hands it out.
#[derive(Clone, Serialize, Deserialize)]
struct KeyFile {
    r#type: String,
    project_id: String,
    private_key_id: String,
    private_key: String,
    client_email: String,
    token_uri: String,
}

/// The account.
pub struct FcmAccount {
    file: KeyFile,
    path: Option<PathBuf>,
    /// As a token's signature is checked with it: PKCS#1 in DER.
    public_key: Vec<u8>,
    /// What the keys of browsers' subscriptions are made of.
    seed: hkdf::Prk,
}

impl fmt::Debug for FcmAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FcmAccount({})", self.file.client_email)
    }
}

impl FcmAccount {
    /// The account of an earlier run, else a new one; its token endpoint is the sandbox's own.
    pub(crate) fn load_or_create(folder: &Path, public_url: &str) -> Result<Self, AccountError> {
        let path = folder.join(FILE);
        let failed = |source| AccountError::File {
            path: path.clone(),
            source,
        };
        let mut account = match fs::read(&path) {
            Ok(bytes) => {
                let file = serde_json::from_slice(&bytes)
                    .map_err(|_| AccountError::Unreadable(path.clone()))?;
                Self::of(file).map_err(|_| AccountError::Unreadable(path.clone()))?
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::create(public_url)?,
            Err(error) => return Err(failed(error)),
        };
        // The port may be another one than last time.
        account.file.token_uri = token_uri(public_url);
        let text = serde_json::to_vec_pretty(&account.file).map_err(|_| AccountError::Key)?;
        write_private(&path, &text).map_err(failed)?;
        account.path = Some(path);
        Ok(account)
    }

    /// A new one, in memory.
    pub(crate) fn create(public_url: &str) -> Result<Self, AccountError> {
        let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|_| AccountError::Key)?;
        let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| AccountError::Key)?;
        Self::of(KeyFile {
            r#type: "service_account".into(),
            project_id: PROJECT.into(),
            private_key_id: "sandbox".into(),
            private_key: pem(der.as_ref()),
            client_email: format!("push@{PROJECT}.iam.gserviceaccount.com"),
            token_uri: token_uri(public_url),
        })
    }

    fn of(file: KeyFile) -> Result<Self, AccountError> {
        let der = der(&file.private_key).ok_or(AccountError::Key)?;
        let pair = KeyPair::from_pkcs8(&der).map_err(|_| AccountError::Key)?;
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"waybill message sandbox");
        Ok(Self {
            public_key: pair.public_key().as_ref().to_vec(),
            seed: salt.extract(&der),
            file,
            path: None,
        })
    }

    /// Where its key file lies.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// The key file, as a sender reads it.
    ///
    /// # Errors
    /// Never: its fields are texts.
    pub fn key_file(&self) -> serde_json::Result<String> {
        serde_json::to_string(&self.file)
    }

    pub(crate) fn project(&self) -> &str {
        &self.file.project_id
    }

    pub(crate) fn email(&self) -> &str {
        &self.file.client_email
    }

    pub(crate) fn token_uri(&self) -> &str {
        &self.file.token_uri
    }

    pub(crate) fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    pub(crate) fn seed(&self) -> &hkdf::Prk {
        &self.seed
    }
}

fn token_uri(public_url: &str) -> String {
    format!("{public_url}/token")
}

fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = String::from("-----BEGIN PRIVATE KEY-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, others) = rest.split_at(PEM_LINE.min(rest.len()));
        pem.push_str(line);
        pem.push('\n');
        rest = others;
    }
    pem.push_str("-----END PRIVATE KEY-----\n");
    pem
}

fn der(pem: &str) -> Option<Vec<u8>> {
    let text: String = pem
        .strip_prefix("-----BEGIN PRIVATE KEY-----")?
        .split_once("-----END")?
        .0
        .split_whitespace()
        .collect();
    STANDARD.decode(text).ok()
}

fn write_private(path: &Path, text: &[u8]) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;

    let fresh = path.with_extension("new");
    let mut file = fs::OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(&fresh)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&fresh, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_stays_the_same_and_its_endpoint_follows_the_port() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().unwrap();
        let first = FcmAccount::load_or_create(folder.path(), "http://127.0.0.1:1").unwrap();
        let again = FcmAccount::load_or_create(folder.path(), "http://127.0.0.1:2").unwrap();
        assert_eq!(first.public_key(), again.public_key());
        assert_eq!(again.token_uri(), "http://127.0.0.1:2/token");
        let path = again.path().unwrap();
        assert_eq!(
            fs::metadata(path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        fs::write(path, "{}").unwrap();
        let damaged = FcmAccount::load_or_create(folder.path(), "http://127.0.0.1:1");
        assert!(matches!(damaged, Err(AccountError::Unreadable(_))));
    }
}
