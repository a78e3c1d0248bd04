//! Where people's pictures are kept: a folder for each person, in it files named by the SHA-256 of what they hold.
//!
//! Two people may have the same picture and two files of the same name; removing what is one's own never touches the
//! other's. What a file holds never changes, so storing it again does no harm.

use std::fmt;
use std::future::Future;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use jiff::Timestamp;
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    ClientOptions, ObjectMeta, ObjectStore, ObjectStoreExt, PutPayload, RetryConfig,
};
use thiserror::Error;
use uuid::Uuid;

use crate::problem::Problem;
use crate::settings::AvatarPlace;

/// No single question to the store takes longer, its own repetitions included.
const STORE_LIMIT: Duration = Duration::from_secs(10);
const REQUEST_LIMIT: Duration = Duration::from_secs(5);
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
const RETRIES_MAX: usize = 3;
/// Files of one person that one look sees. He has one, for a while two.
const FILES_PER_PERSON_MAX: usize = 1_000;
/// Letters of a SHA-256 in hex.
const DIGEST_CHARS: usize = 64;

/// Why a picture could not be stored, read or removed.
#[derive(Debug, Error)]
pub enum PictureError {
    /// The place cannot be used as it is set.
    #[error("pictures cannot be kept in {place}")]
    Place {
        /// Where.
        place: String,
        /// Why.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The store is away or refuses.
    #[error("the store of pictures failed")]
    Store(#[from] object_store::Error),
    /// The folder does not let go of a file.
    #[error("a folder of pictures cannot be removed")]
    Folder(#[source] std::io::Error),
    /// The store did not answer.
    #[error("the store of pictures did not answer within {} s", STORE_LIMIT.as_secs())]
    Late,
}

impl From<PictureError> for Problem {
    fn from(error: PictureError) -> Self {
        tracing::warn!(error = %crate::problem::Chain(&error), "pictures cannot be reached");
        Self::unavailable(
            "pictures_unavailable",
            "the store of pictures cannot be reached at the moment",
        )
    }
}

/// A file as the store lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Whose it is.
    pub person: Uuid,
    /// Its name.
    pub digest: String,
    /// When it was stored last.
    pub stored_at: Timestamp,
}

/// The store of pictures. Cheap to clone.
#[derive(Clone)]
pub struct Pictures {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    /// Only for a store that is a folder: unfinished files of a process that died are not listed.
    folder: Option<Arc<FilePath>>,
}

impl fmt::Debug for Pictures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pictures")
            .field("store", &self.store.to_string())
            .finish_non_exhaustive()
    }
}

impl Pictures {
    /// The store at this place; a folder is made when it is not there.
    ///
    /// # Errors
    /// When the folder cannot be made, or the bucket's variables are not complete.
    pub fn open(place: &AvatarPlace) -> Result<Self, PictureError> {
        match place {
            AvatarPlace::Folder(folder) => Self::in_folder(folder),
            AvatarPlace::Bucket(url) => {
                // An address without TLS has to be meant.
                let allow_http = std::env::var("AWS_ALLOW_HTTP").is_ok_and(|value| value == "true");
                Self::in_bucket(AmazonS3Builder::from_env(), url, allow_http)
            }
        }
    }

    fn in_folder(folder: &FilePath) -> Result<Self, PictureError> {
        let unusable = |cause: Box<dyn std::error::Error + Send + Sync>| PictureError::Place {
            place: folder.display().to_string(),
            cause,
        };
        std::fs::create_dir_all(folder).map_err(|error| unusable(error.into()))?;
        let store = LocalFileSystem::new_with_prefix(folder)
            .map_err(|error| unusable(error.into()))?
            .with_fsync(true);
        let folder: PathBuf = folder
            .canonicalize()
            .map_err(|error| unusable(error.into()))?;
        Ok(Self {
            store: Arc::new(store),
            prefix: Path::default(),
            folder: Some(folder.into()),
        })
    }

    fn in_bucket(
        builder: AmazonS3Builder,
        url: &str,
        allow_http: bool,
    ) -> Result<Self, PictureError> {
        let retry = RetryConfig {
            max_retries: RETRIES_MAX,
            retry_timeout: STORE_LIMIT,
            ..RetryConfig::default()
        };
        let client = ClientOptions::new()
            .with_timeout(REQUEST_LIMIT)
            .with_connect_timeout(CONNECT_LIMIT)
            .with_allow_http(allow_http);
        let store = builder
            .with_url(url)
            .with_retry(retry)
            .with_client_options(client)
            .build()
            .map_err(|error| PictureError::Place {
                place: url.to_owned(),
                cause: error.into(),
            })?;
        let inside = url
            .strip_prefix("s3://")
            .and_then(|rest| rest.split_once('/'))
            .map_or("", |(_, prefix)| prefix);
        Ok(Self {
            store: Arc::new(store),
            prefix: Path::from(inside),
            folder: None,
        })
    }

    /// A store that is gone with the process.
    #[must_use]
    pub fn in_memory() -> Self {
        Self {
            store: Arc::new(InMemory::new()),
            prefix: Path::default(),
            folder: None,
        }
    }

    /// Stores a picture; it is durable when this returns.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn put(&self, person: Uuid, digest: &str, bytes: Bytes) -> Result<(), PictureError> {
        let place = self.place(person, digest);
        within(self.store.put(&place, PutPayload::from_bytes(bytes))).await?;
        Ok(())
    }

    /// The picture, if it is there.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn get(&self, person: Uuid, digest: &str) -> Result<Option<Bytes>, PictureError> {
        let place = self.place(person, digest);
        let read = async { self.store.get(&place).await?.bytes().await };
        there(within(read).await)
    }

    /// When the picture was stored, if it is there.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn stored_at(
        &self,
        person: Uuid,
        digest: &str,
    ) -> Result<Option<Timestamp>, PictureError> {
        let place = self.place(person, digest);
        let found = there(within(self.store.head(&place)).await)?;
        Ok(found.map(|meta| when(&meta)))
    }

    /// Removes one picture; one that is not there is removed already.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn remove(&self, person: Uuid, digest: &str) -> Result<(), PictureError> {
        let place = self.place(person, digest);
        there(within(self.store.delete(&place)).await)?;
        Ok(())
    }

    /// The person's files.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn of(&self, person: Uuid) -> Result<Vec<Stored>, PictureError> {
        let folder = self.folder_of(person);
        let listing = async {
            let mut found = Vec::new();
            let mut listed = self.store.list(Some(&folder));
            while let Some(meta) = listed.try_next().await? {
                found.extend(self.read(&meta));
                if found.len() >= FILES_PER_PERSON_MAX {
                    break;
                }
            }
            Ok(found)
        };
        Ok(there(within(listing).await)?.unwrap_or_default())
    }

    /// Removes everything of the person, what a process that died has left unfinished included. Says how many pictures
    /// there were.
    ///
    /// # Errors
    /// When the store fails; some may be removed then.
    pub async fn remove_all(&self, person: Uuid) -> Result<usize, PictureError> {
        let mut removed = 0;
        loop {
            let found = self.of(person).await?;
            for stored in &found {
                self.remove(person, &stored.digest).await?;
            }
            removed += found.len();
            if found.len() < FILES_PER_PERSON_MAX {
                break;
            }
        }
        if let Some(folder) = &self.folder {
            match tokio::fs::remove_dir_all(folder.join(person.to_string())).await {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(PictureError::Folder(error));
                }
                Ok(()) | Err(_) => {}
            }
        }
        Ok(removed)
    }

    /// Shows `see` every file there is, in no order that could be relied on.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn each(&self, mut see: impl FnMut(Stored) + Send) -> Result<(), PictureError> {
        let mut listed = self.store.list(Some(&self.prefix));
        while let Some(meta) = within(listed.try_next()).await? {
            if let Some(stored) = self.read(&meta) {
                see(stored);
            }
        }
        Ok(())
    }

    fn folder_of(&self, person: Uuid) -> Path {
        self.prefix.clone().join(person.to_string())
    }

    fn place(&self, person: Uuid, digest: &str) -> Path {
        self.folder_of(person).join(digest)
    }

    /// A listed file, unless it is something that we never stored.
    fn read(&self, meta: &ObjectMeta) -> Option<Stored> {
        let mut parts = meta.location.prefix_match(&self.prefix)?;
        let (person, digest) = (parts.next()?, parts.next()?);
        let digest = digest.as_ref();
        let named = digest.len() == DIGEST_CHARS && digest.bytes().all(|b| b.is_ascii_hexdigit());
        if !named || parts.next().is_some() {
            return None;
        }
        Some(Stored {
            person: person.as_ref().parse().ok()?,
            digest: digest.to_owned(),
            stored_at: when(meta),
        })
    }
}

fn when(meta: &ObjectMeta) -> Timestamp {
    Timestamp::from_second(meta.last_modified.timestamp()).unwrap_or(Timestamp::MIN)
}

async fn within<T>(
    work: impl Future<Output = Result<T, object_store::Error>>,
) -> Result<T, PictureError> {
    match tokio::time::timeout(STORE_LIMIT, work).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(PictureError::Late),
    }
}

fn there<T>(answer: Result<T, PictureError>) -> Result<Option<T>, PictureError> {
    match answer {
        Err(PictureError::Store(object_store::Error::NotFound { .. })) => Ok(None),
        answer => answer.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const OTHER: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    fn folder() -> (tempfile::TempDir, Pictures) {
        let folder = tempfile::tempdir().unwrap();
        let place = AvatarPlace::Folder(folder.path().join("deep/avatars"));
        let pictures = Pictures::open(&place).unwrap();
        (folder, pictures)
    }

    #[tokio::test]
    async fn a_picture_is_there_until_it_is_removed_and_removing_it_again_is_no_error() {
        let (_folder, pictures) = folder();
        let ada = Uuid::now_v7();
        assert_eq!(pictures.get(ada, ONE).await.unwrap(), None);
        for _ in 0..2 {
            pictures
                .put(ada, ONE, Bytes::from_static(b"one"))
                .await
                .unwrap();
        }
        assert_eq!(
            pictures.get(ada, ONE).await.unwrap().as_deref(),
            Some(b"one".as_slice())
        );
        assert!(pictures.stored_at(ada, ONE).await.unwrap().is_some());
        for _ in 0..2 {
            pictures.remove(ada, ONE).await.unwrap();
        }
        assert_eq!(pictures.get(ada, ONE).await.unwrap(), None);
        assert_eq!(pictures.stored_at(ada, ONE).await.unwrap(), None);
    }

    #[tokio::test]
    async fn what_one_person_removes_stays_with_another_who_has_the_same() {
        let (_folder, pictures) = folder();
        let (ada, bob) = (Uuid::now_v7(), Uuid::now_v7());
        for person in [ada, bob] {
            for digest in [ONE, OTHER] {
                pictures
                    .put(person, digest, Bytes::from_static(b"same"))
                    .await
                    .unwrap();
            }
        }
        assert_eq!(pictures.remove_all(ada).await.unwrap(), 2);
        assert_eq!(pictures.remove_all(ada).await.unwrap(), 0);
        let mut left = Vec::new();
        pictures.each(|stored| left.push(stored)).await.unwrap();
        left.sort_by(|a, b| a.digest.cmp(&b.digest));
        assert_eq!(pictures.of(ada).await.unwrap(), []);
        let named: Vec<(Uuid, &str)> = left.iter().map(|s| (s.person, &*s.digest)).collect();
        assert_eq!(named, [(bob, ONE), (bob, OTHER)]);
    }

    #[tokio::test]
    async fn nothing_of_a_person_is_left_not_even_a_file_that_was_never_finished() {
        let (folder, pictures) = folder();
        let ada = Uuid::now_v7();
        pictures
            .put(ada, ONE, Bytes::from_static(b"one"))
            .await
            .unwrap();
        let own = folder.path().join("deep/avatars").join(ada.to_string());
        std::fs::write(own.join(format!("{OTHER}#1")), b"half").unwrap();
        pictures.remove_all(ada).await.unwrap();
        assert!(!own.exists());
    }

    #[tokio::test]
    async fn a_bucket_keeps_lists_and_lets_go_of_pictures_as_a_folder_does() {
        let server = tokio::task::spawn_blocking(testkit::S3Server::shared);
        let variables = server.await.unwrap().variables();
        crate::crypto::install().unwrap();
        let builder =
            variables
                .into_iter()
                .fold(AmazonS3Builder::new(), |builder, (name, value)| match name
                    .to_ascii_lowercase()
                    .parse()
                {
                    Ok(key) => builder.with_config(key, value),
                    Err(_) => builder,
                });
        let url = format!("s3://{}/people/now", testkit::S3Server::BUCKET);
        let pictures = Pictures::in_bucket(builder.clone(), &url, true).unwrap();
        let elsewhere = format!("s3://{}/people", testkit::S3Server::BUCKET);
        let elsewhere = Pictures::in_bucket(builder, &elsewhere, true).unwrap();
        let (ada, bob) = (Uuid::now_v7(), Uuid::now_v7());
        for (person, digest) in [(ada, ONE), (ada, OTHER), (bob, ONE)] {
            pictures
                .put(person, digest, Bytes::from(digest))
                .await
                .unwrap();
        }
        let got = pictures.get(ada, OTHER).await.unwrap();
        assert_eq!(got.as_deref(), Some(OTHER.as_bytes()));
        assert!(pictures.stored_at(ada, ONE).await.unwrap().is_some());
        assert_eq!(elsewhere.get(ada, ONE).await.unwrap(), None);
        pictures.remove(ada, ONE).await.unwrap();
        pictures.remove(ada, ONE).await.unwrap();
        assert_eq!(pictures.of(ada).await.unwrap().len(), 1);
        assert_eq!(pictures.remove_all(ada).await.unwrap(), 1);
        let mut left = Vec::new();
        pictures.each(|stored| left.push(stored)).await.unwrap();
        assert_eq!(left.len(), 1);
        assert_eq!((left[0].person, &*left[0].digest), (bob, ONE));
    }

    #[tokio::test]
    async fn a_bucket_that_is_away_is_said_to_be_in_time() {
        crate::crypto::install().unwrap();
        let builder = AmazonS3Builder::new()
            .with_endpoint("http://127.0.0.1:9")
            .with_access_key_id("test")
            .with_secret_access_key("test");
        let pictures = Pictures::in_bucket(builder, "s3://nowhere", true).unwrap();
        let asked = pictures.get(Uuid::now_v7(), ONE).await;
        let problem = Problem::from(asked.unwrap_err());
        assert_eq!(
            (problem.status().as_u16(), problem.code()),
            (503, "pictures_unavailable")
        );
    }

    #[test]
    fn a_place_that_is_no_folder_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let place = AvatarPlace::Folder(file.path().join("avatars"));
        let error = Pictures::open(&place).unwrap_err().to_string();
        assert!(error.contains("avatars"), "{error}");
    }
}
