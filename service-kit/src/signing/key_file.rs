//! `signing.key`: made once by whichever role comes first, complete or absent at every moment, read by all.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use aws_lc_rs::encoding::AsBigEndian;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;
use uuid::Uuid;

use crate::crypto::{CryptoError, InstallationKey};

const PEM_BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const PEM_END: &str = "-----END PRIVATE KEY-----";
/// RFC 7468: base64 lines of a PEM file have 64 characters.
const PEM_LINE_CHARS: usize = 64;
/// An Ed25519 key in PEM is under 200 bytes; a file larger than this is something else.
const MAX_KEY_FILE_BYTES: u64 = 16 * 1024;

/// Why the signing key cannot be used.
#[derive(Debug, Error)]
pub enum KeyFileError {
    /// The file cannot be read.
    #[error("cannot read the signing key {path}: {source}")]
    Read {
        /// Where it was looked for.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not there and cannot be made.
    #[error("cannot make the signing key {path}: {source}")]
    Create {
        /// Where it should be made.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is there and is not an Ed25519 private key.
    #[error(
        "{path} is not an Ed25519 private key in PKCS#8 PEM form; put the right file back, or remove this one to have a new key made (all tokens, stored hashes and sealed data of the old one are then void)"
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
    },
    /// The system's source of randomness failed.
    #[error("the system gave no randomness for a new key")]
    NoRandomness,
    /// A key could not be derived from it.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
}

/// The installation's Ed25519 key.
pub struct SigningKey {
    pkcs8: Vec<u8>,
    public: Vec<u8>,
    seed: Vec<u8>,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(hidden)")
    }
}

impl SigningKey {
    /// Reads the key file, or makes it when there is none. Any number of processes may do this at once: all of them
    /// come back with the same key.
    ///
    /// # Errors
    /// When the file can be neither read nor made, or is not an Ed25519 key.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyFileError> {
        if let Some(key) = Self::load(path)? {
            return Ok(key);
        }
        Self::create(path)?;
        Self::load(path)?.ok_or_else(|| KeyFileError::Read {
            path: path.to_owned(),
            source: io::ErrorKind::NotFound.into(),
        })
    }

    /// The installation's key for hashes and for wrapping other keys.
    ///
    /// # Errors
    /// When it cannot be derived.
    pub fn installation_key(&self) -> Result<InstallationKey, KeyFileError> {
        Ok(InstallationKey::from_secret(&self.seed)?)
    }

    pub(super) fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    pub(super) fn public(&self) -> &[u8] {
        &self.public
    }

    fn load(path: &Path) -> Result<Option<Self>, KeyFileError> {
        let unreadable = || KeyFileError::Unreadable {
            path: path.to_owned(),
        };
        let read_error = |source| KeyFileError::Read {
            path: path.to_owned(),
            source,
        };
        match fs::metadata(path) {
            Ok(found) if found.len() > MAX_KEY_FILE_BYTES || !found.is_file() => {
                return Err(unreadable());
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(read_error(error)),
        }
        let pem =
            String::from_utf8(fs::read(path).map_err(read_error)?).map_err(|_| unreadable())?;
        let pkcs8 = from_pem(&pem).ok_or_else(unreadable)?;
        // Files made with openssl carry no public key, ours do; both are the same private key.
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&pkcs8).map_err(|_| unreadable())?;
        let seed = pair
            .seed()
            .and_then(|seed| seed.as_be_bytes())
            .map_err(|_| unreadable())?;
        Ok(Some(Self {
            // Re-written in the one form that the token library reads.
            pkcs8: pair.to_pkcs8().map_err(|_| unreadable())?.as_ref().to_vec(),
            public: pair.public_key().as_ref().to_vec(),
            seed: seed.as_ref().to_vec(),
        }))
    }

    fn create(path: &Path) -> Result<(), KeyFileError> {
        let create_error = |source| KeyFileError::Create {
            path: path.to_owned(),
            source,
        };
        let pair = Ed25519KeyPair::generate().map_err(|_| KeyFileError::NoRandomness)?;
        let document = pair.to_pkcs8v1().map_err(|_| KeyFileError::NoRandomness)?;
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        fs::create_dir_all(folder).map_err(create_error)?;

        // Written aside and linked into place: the name appears with the whole key behind it, and only for the first
        // of several creators. The others drop theirs and read the winner's.
        let aside = folder.join(format!(".signing.key.{}", Uuid::now_v7().simple()));
        let linked = write_private(&aside, to_pem(document.as_ref()).as_bytes())
            .and_then(|()| match fs::hard_link(&aside, path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                other => other,
            })
            .map_err(create_error);
        let removed = fs::remove_file(&aside).map_err(create_error);
        linked?;
        removed?;
        // The name itself must survive a power cut: everything signed and sealed hangs on this file.
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(create_error)
    }
}

fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn to_pem(der: &[u8]) -> String {
    let encoded = STANDARD.encode(der);
    let mut pem = format!("{PEM_BEGIN}\n");
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(PEM_LINE_CHARS));
        pem.push_str(line);
        pem.push('\n');
        rest = tail;
    }
    pem.push_str(PEM_END);
    pem.push('\n');
    pem
}

fn from_pem(pem: &str) -> Option<Vec<u8>> {
    let (_, after) = pem.split_once(PEM_BEGIN)?;
    let (base64, _) = after.split_once(PEM_END)?;
    let compact: String = base64.split_whitespace().collect();
    STANDARD.decode(compact).ok()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Barrier};
    use std::thread;

    use super::*;

    #[test]
    fn eight_roles_starting_at_once_agree_on_one_key() {
        for _ in 0..20 {
            let folder = tempfile::tempdir().unwrap();
            let path = Arc::new(folder.path().join("deep/er/signing.key"));
            let barrier = Arc::new(Barrier::new(8));
            let publics: Vec<Vec<u8>> = (0..8)
                .map(|_| {
                    let (path, barrier) = (Arc::clone(&path), Arc::clone(&barrier));
                    thread::spawn(move || {
                        barrier.wait();
                        SigningKey::load_or_create(&path).unwrap().public
                    })
                })
                .collect::<Vec<_>>()
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect();
            assert!(publics.windows(2).all(|pair| pair[0] == pair[1]));
            let left: Vec<_> = fs::read_dir(path.parent().unwrap())
                .unwrap()
                .map(|entry| entry.unwrap().file_name())
                .collect();
            assert_eq!(left, ["signing.key"], "nothing else may be left behind");
        }
    }

    #[cfg(unix)]
    #[test]
    fn the_key_file_is_readable_by_its_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("signing.key");
        SigningKey::load_or_create(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn the_key_survives_a_restart_and_so_do_the_hashes_made_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("signing.key");
        let first = SigningKey::load_or_create(&path).unwrap();
        let second = SigningKey::load_or_create(&path).unwrap();
        assert_eq!(first.public, second.public);
        assert_eq!(
            first.installation_key().unwrap().keyed_hash("a", b"b"),
            second.installation_key().unwrap().keyed_hash("a", b"b")
        );
    }

    #[test]
    fn a_key_made_by_openssl_is_accepted() {
        // The private key of RFC 8410, section 10.3, first form.
        let pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("signing.key");
        fs::write(&path, pem).unwrap();
        let key = SigningKey::load_or_create(&path).unwrap();
        assert_eq!(
            hex::encode(&key.public),
            "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1"
        );
    }

    #[test]
    fn a_file_that_is_not_a_key_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("signing.key");
        for content in [
            "",
            "not a key",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----",
        ] {
            fs::write(&path, content).unwrap();
            let error = SigningKey::load_or_create(&path).unwrap_err();
            assert!(matches!(error, KeyFileError::Unreadable { .. }), "{error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_named_in_the_error() {
        let folder = tempfile::tempdir().unwrap();
        let blocked = folder.path().join("file");
        fs::write(&blocked, "").unwrap();
        let error = SigningKey::load_or_create(&blocked.join("signing.key")).unwrap_err();
        assert!(error.to_string().contains("signing.key"), "{error}");
    }
}
