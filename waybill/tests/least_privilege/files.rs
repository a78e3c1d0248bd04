//! What can be said of the container files without an engine: that they name what is there, and nothing else.

use std::collections::BTreeSet;
use std::path::Path;

use crate::DOCKER;
use crate::secrets::Secrets;

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(DOCKER).join(path)).unwrap()
}

/// What stands behind `file:` in compose.yaml.
fn files_of_compose(begin: &str) -> BTreeSet<String> {
    let text = read("compose.yaml");
    let named = text
        .lines()
        .filter_map(|line| line.split_once("{ file: ")?.1.split_once(" }"))
        .filter_map(|(file, _)| file.strip_prefix(begin));
    named.map(str::to_owned).collect()
}

#[test]
fn compose_shows_every_secret_that_is_made_and_no_other() {
    let secrets = Secrets::make([1, 2, 3], [4, 5, 6], 7);
    let folder = secrets.path("");
    let made: BTreeSet<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(files_of_compose("secrets/"), made);
}

#[test]
fn compose_shows_only_files_that_are_there() {
    let others = ["nats/", "postgres/", "edge/"].map(|folder| (folder, files_of_compose(folder)));
    for (folder, files) in others {
        assert!(!files.is_empty(), "{folder}");
        for file in files {
            let path = Path::new(DOCKER).join(folder).join(&file);
            assert!(path.is_file(), "{}", path.display());
        }
    }
}

#[test]
fn no_password_stands_in_a_file_that_is_committed() {
    for file in [
        "compose.yaml",
        "Dockerfile",
        "nats/accounts.conf",
        "nats/cluster.conf",
        "postgres/roles.sql",
    ] {
        for line in read(file).lines() {
            let said = line.split_once("password: ").map(|(_, value)| value.trim());
            assert!(
                said.is_none_or(|value| value.starts_with('$')),
                "{file}: {line}"
            );
        }
    }
}

#[test]
fn the_image_is_built_by_the_projects_toolchain_from_all_of_its_crates() {
    let root = Path::new(DOCKER).parent().unwrap();
    let toolchain = std::fs::read_to_string(root.join("rust-toolchain.toml")).unwrap();
    let version = toolchain
        .lines()
        .find_map(|line| line.strip_prefix("channel = \"")?.strip_suffix('"'))
        .unwrap();
    let dockerfile = read("Dockerfile");
    assert!(dockerfile.contains(&format!("FROM rust:{version}-")));
    assert!(dockerfile.contains(&format!("RUSTUP_TOOLCHAIN={version}")));

    let ignored = read("Dockerfile.dockerignore");
    let sent: BTreeSet<&str> = ignored
        .lines()
        .filter_map(|line| line.strip_prefix('!'))
        .collect();
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let members = manifest
        .split_once("members = [")
        .and_then(|(_, rest)| rest.split_once(']'))
        .unwrap()
        .0;
    for member in members
        .split(',')
        .map(|member| member.trim().trim_matches('"'))
        .filter(|member| !member.is_empty())
    {
        assert!(sent.contains(member), "the builder does not get {member}");
    }
}
