//! The account that Postgres runs as. Postgres refuses root; as root we give it an unprivileged account and make sure
//! that this account reaches every folder it needs.

use std::{
    fs, io,
    os::unix::{fs::MetadataExt as _, process::CommandExt as _},
    path::Path,
    process::Command,
    time::Duration,
};

use crate::bounded;

const PROBE_LIMIT: Duration = Duration::from_secs(10);
/// Preferred first; `nobody` exists everywhere.
const ACCOUNTS: [&str; 2] = ["postgres", "nobody"];
/// The number of `nobody` nearly everywhere, for a system without an account list.
const NOBODY: u32 = 65534;

/// Who Postgres runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ServerUser {
    /// We are not root: as ourselves.
    Ourselves,
    /// We are root: as this account.
    Account { name: String, uid: u32, gid: u32 },
}

impl ServerUser {
    /// The account for `data`: its owner when it exists already and its owner is not root, so that a user's data stay
    /// the user's when root starts the server once.
    pub(crate) fn for_data(data: Option<&Path>) -> Self {
        if !rustix::process::geteuid().is_root() {
            return Self::Ourselves;
        }
        if let Some(owner) = data.and_then(|data| fs::metadata(data).ok())
            && owner.uid() != 0
        {
            return Self::Account {
                name: name_of(owner.uid()).unwrap_or_else(|| owner.uid().to_string()),
                uid: owner.uid(),
                gid: owner.gid(),
            };
        }
        ACCOUNTS
            .into_iter()
            .find_map(account)
            .unwrap_or_else(|| Self::Account {
                name: NOBODY.to_string(),
                uid: NOBODY,
                gid: NOBODY,
            })
    }

    /// The account's name, for messages.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Ourselves => "of this process",
            Self::Account { name, .. } => name,
        }
    }

    /// Makes `command` run as this account. With the account, all of root's groups are given up as well.
    pub(crate) fn apply(&self, command: &mut Command) {
        if let Self::Account { uid, gid, .. } = self {
            command.uid(*uid).gid(*gid);
        }
    }

    /// Makes `path` (not what is in it) this account's own.
    pub(crate) fn own(&self, path: &Path) -> io::Result<()> {
        match self {
            Self::Ourselves => Ok(()),
            Self::Account { uid, gid, .. } => {
                std::os::unix::fs::chown(path, Some(*uid), Some(*gid))
            }
        }
    }

    /// Whether this account can enter `folder`, found out by entering it: permissions, access lists and mounts alike.
    pub(crate) fn can_enter(&self, folder: &Path) -> bool {
        self.probe(folder, "cd -- \"$1\"")
    }

    /// Whether this account can run `program`.
    pub(crate) fn can_run(&self, program: &Path) -> bool {
        self.probe(program, "test -x \"$1\"")
    }

    fn probe(&self, path: &Path, script: &str) -> bool {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", script, "sh"])
            .arg(path)
            .current_dir("/");
        self.apply(&mut command);
        bounded::run(&mut command, "", PROBE_LIMIT).is_ok_and(|output| output.success)
    }
}

fn account(name: &str) -> Option<ServerUser> {
    entries().find_map(|(entry, uid, gid)| {
        (entry == name && uid != 0).then_some(ServerUser::Account {
            name: entry,
            uid,
            gid,
        })
    })
}

fn name_of(uid: u32) -> Option<String> {
    entries().find_map(|(name, entry, _)| (entry == uid).then_some(name))
}

fn entries() -> impl Iterator<Item = (String, u32, u32)> {
    let list = fs::read_to_string("/etc/passwd").unwrap_or_default();
    list.lines()
        .filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?.to_owned();
            let uid = fields.nth(1)?.parse().ok()?;
            let gid = fields.next()?.parse().ok()?;
            Some((name, uid, gid))
        })
        .collect::<Vec<_>>()
        .into_iter()
}
