//! The database files: where they can live, whose they are, how new ones are made, and what an earlier run left behind.

use std::{
    fs::{self, Permissions},
    io,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{DirBuilderExt as _, PermissionsExt as _, symlink},
    },
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use super::{DATABASE, ROLE};
use crate::{
    bounded,
    error::StartError,
    find::{Finder, PostgresBinaries, without_postgres_settings},
    folder::DataFolder,
    process::{self, StopSignal},
    progress::Notice,
    server_user::ServerUser,
};

const SOFTWARE: &str = "Postgres";
/// Where data live that cannot live where they were asked for.
const SYSTEM_STATE: &str = "/var/lib/waybill";
const INITDB_LIMIT: Duration = Duration::from_secs(180);
/// Works for every language where the system has it; plain `C` is there always.
const LOCALES: [&str; 2] = ["C.UTF-8", "C"];

/// All that the server needs to start.
pub(super) struct Prepared {
    pub(super) binaries: PostgresBinaries,
    pub(super) user: ServerUser,
    pub(super) data: PathBuf,
    pub(super) password: String,
}

/// Makes the folder's data ready for a server: found or new, reachable by the server's account, held by no other server.
pub(super) fn prepare(
    finder: &Finder,
    folder: &DataFolder,
    durable: bool,
) -> Result<Prepared, StartError> {
    let link = folder.root().join("data");
    let existing = link.join("PG_VERSION").exists().then_some(link.as_path());
    let user = ServerUser::for_data(existing);
    let data = match existing {
        Some(_) => place_of_existing(finder, folder, &link, &user)?,
        None => place_for_new(finder, folder, &link, &user)?,
    };
    stop_leftover(finder, &data)?;
    let major = major_of(&data);
    let binaries = finder
        .postgres_for(&user, major)
        .map_err(|source| match (major, source) {
            (Some(data_major), source) => StartError::WrongMajor {
                data: data.clone(),
                data_major,
                source,
            },
            (None, source) => source.into(),
        })?;
    let password = if major.is_some() {
        read_password(folder)?
    } else {
        finder.tell(Notice::Initialising {
            software: SOFTWARE,
            data: data.clone(),
        });
        let password = new_password(&data)?;
        folder.write("password", &password, 0o600)?;
        initialise(&binaries, &user, &data, &password, durable)?;
        password
    };
    Ok(Prepared {
        binaries,
        user,
        data,
        password,
    })
}

/// The process id and port of the server that listens on these data, as it wrote them down itself.
pub(super) fn listening(data: &Path) -> Option<(u32, u16)> {
    let text = fs::read_to_string(data.join("postmaster.pid")).ok()?;
    let mut lines = text.lines();
    let pid = lines.next()?.trim().parse().ok()?;
    let port = lines.nth(2)?.trim().parse().ok()?;
    Some((pid, port))
}

/// The major version that wrote the data; none when there are no data yet.
fn major_of(data: &Path) -> Option<u32> {
    fs::read_to_string(data.join("PG_VERSION"))
        .ok()?
        .trim()
        .parse()
        .ok()
}

fn failed(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> StartError {
    let path = path.to_owned();
    move |source| StartError::Folder {
        path,
        doing,
        source,
    }
}

/// Data that are there: as they are, if the account can enter; else moved (the folder's parents were closed meanwhile).
fn place_of_existing(
    finder: &Finder,
    folder: &DataFolder,
    link: &Path,
    user: &ServerUser,
) -> Result<PathBuf, StartError> {
    let data = link
        .canonicalize()
        .map_err(failed(link, "resolving the data folder"))?;
    if user.can_enter(&data) {
        return Ok(data);
    }
    let target = system_place(folder, user)?;
    fs::rename(&data, &target).map_err(|source| StartError::Unreachable {
        account: user.name().to_owned(),
        path: data.clone(),
        reason: format!("moving it to {} failed: {source}", target.display()),
    })?;
    leave_pointer(finder, folder, link, &target, user)?;
    Ok(target)
}

/// A place for new data: in the folder, if the account can enter that; else a folder of the system with a link to it.
fn place_for_new(
    finder: &Finder,
    folder: &DataFolder,
    link: &Path,
    user: &ServerUser,
) -> Result<PathBuf, StartError> {
    if let Ok(place) = fs::read_link(link) {
        // Chosen by an earlier start that was killed before the data were complete.
        if place.parent().is_some_and(|parent| user.can_enter(parent)) {
            return Ok(place);
        }
        fs::remove_file(link).map_err(failed(link, "removing a link that leads nowhere"))?;
    }
    if user.can_enter(folder.root()) {
        return Ok(link.to_owned());
    }
    let target = system_place(folder, user)?;
    leave_pointer(finder, folder, link, &target, user)?;
    Ok(target)
}

/// A new folder of the system that the account can enter. The name is new every time: data of a folder that was
/// deleted or moved are never taken for those of another one in its place.
fn system_place(folder: &DataFolder, user: &ServerUser) -> Result<PathBuf, StartError> {
    let state = Path::new(SYSTEM_STATE);
    let unreachable = |reason: String| StartError::Unreachable {
        account: user.name().to_owned(),
        path: folder.root().to_owned(),
        reason,
    };
    let make = || -> io::Result<PathBuf> {
        fs::create_dir_all(state)?;
        fs::set_permissions(state, Permissions::from_mode(0o755))?;
        let place = tempfile::Builder::new()
            .prefix("postgres-")
            .tempdir_in(state)?
            .keep();
        fs::set_permissions(&place, Permissions::from_mode(0o755))?;
        fs::write(
            place.join("belongs-to"),
            format!("{}\n", folder.root().display()),
        )?;
        Ok(place)
    };
    let place = make().map_err(|error| unreachable(format!("{SYSTEM_STATE}: {error}")))?;
    if user.can_enter(&place) {
        Ok(place.join("data"))
    } else {
        Err(unreachable(format!(
            "it cannot enter {} either; name a folder that it can enter, by WAYBILL_DATA_DIR",
            place.display()
        )))
    }
}

fn leave_pointer(
    finder: &Finder,
    folder: &DataFolder,
    link: &Path,
    target: &Path,
    user: &ServerUser,
) -> Result<(), StartError> {
    // After a move the old link, if it was one, leads nowhere.
    if link.is_symlink() {
        fs::remove_file(link).map_err(failed(link, "replacing the link to the data"))?;
    }
    symlink(target, link).map_err(failed(link, "making a link to the data"))?;
    finder.tell(Notice::DataElsewhere {
        asked: folder.root().to_owned(),
        data: target.to_owned(),
        account: user.name().to_owned(),
    });
    Ok(())
}

fn new_password(data: &Path) -> Result<String, StartError> {
    let mut random = [0; 24];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| StartError::Initialise {
        data: data.to_owned(),
        reason: "the system gave no random bytes for a password".to_owned(),
    })?;
    Ok(hex::encode(random))
}

fn read_password(folder: &DataFolder) -> Result<String, StartError> {
    let path = folder.root().join("password");
    let text = fs::read_to_string(&path).map_err(failed(&path, "reading the password"))?;
    Ok(text.trim().to_owned())
}

/// Makes new data beside their place and moves them there when they are complete, so that a start that is killed
/// half-way leaves nothing that looks like data.
fn initialise(
    binaries: &PostgresBinaries,
    user: &ServerUser,
    data: &Path,
    password: &str,
    durable: bool,
) -> Result<(), StartError> {
    let new = data.with_extension("new");
    let password_file = data.with_extension("password");
    let result = make_complete(binaries, user, &new, &password_file, password, durable);
    // The password is kept elsewhere; a file that was never made need not be removed.
    let _ = fs::remove_file(&password_file);
    result?;
    if data.is_dir() {
        // Without PG_VERSION these are no data; Postgres would not touch them either.
        fs::remove_dir(data).map_err(failed(data, "replacing a folder that holds no data"))?;
    }
    fs::rename(&new, data).map_err(failed(data, "moving the new data into place"))
}

fn make_complete(
    binaries: &PostgresBinaries,
    user: &ServerUser,
    new: &Path,
    password_file: &Path,
    password: &str,
    durable: bool,
) -> Result<(), StartError> {
    write_password_for(user, password_file, password)
        .map_err(failed(password_file, "writing the password"))?;
    let mut reason = String::new();
    for locale in LOCALES {
        empty_folder_of(user, new).map_err(failed(new, "creating the data folder"))?;
        let mut initdb = Command::new(&binaries.initdb);
        initdb
            .arg("--pgdata")
            .arg(new)
            .arg(format!("--username={ROLE}"))
            .arg("--encoding=UTF8")
            .arg(format!("--locale={locale}"))
            .arg("--auth=scram-sha-256")
            .arg("--pwfile")
            .arg(password_file)
            .arg("--no-instructions");
        if !durable {
            initdb.arg("--no-sync");
        }
        match run_as(user, &mut initdb, "") {
            Ok(()) => {
                // One backend on its own, before any server: no client program is needed.
                let mut single = Command::new(&binaries.postgres);
                single
                    .args(["--single", "-D"])
                    .arg(new)
                    .args(["-c", "log_checkpoints=off"]);
                if !durable {
                    single.args(["-c", "fsync=off"]);
                }
                single.arg("postgres");
                return run_as(user, &mut single, &format!("create database {DATABASE}\n"))
                    .map_err(|reason| StartError::Initialise {
                        data: new.to_owned(),
                        reason,
                    });
            }
            Err(why) => reason = why,
        }
    }
    Err(StartError::Initialise {
        data: new.to_owned(),
        reason,
    })
}

fn run_as(user: &ServerUser, command: &mut Command, input: &str) -> Result<(), String> {
    without_postgres_settings(command);
    user.apply(command);
    command.current_dir("/");
    match bounded::run(command, input, INITDB_LIMIT) {
        Ok(output) if output.success => Ok(()),
        Ok(output) => Err(output.reason()),
        Err(error) => Err(error.to_string()),
    }
}

/// An empty folder that belongs to the account and is closed to others. What a killed start left there is removed.
fn empty_folder_of(user: &ServerUser, path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::DirBuilder::new().mode(0o700).create(path)?;
    user.own(path)
}

/// Only for initdb to read, under the account it runs as.
fn write_password_for(user: &ServerUser, path: &Path, password: &str) -> io::Result<()> {
    use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};

    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(password.as_bytes())?;
    user.own(path)
}

/// Stops the server of an earlier run that was killed, if it still runs on these data, and clears away what would make
/// Postgres believe that it does. We hold the folder's lock, so whatever runs there belongs to nobody any more.
fn stop_leftover(finder: &Finder, data: &Path) -> Result<(), StartError> {
    let pid_file = data.join("postmaster.pid");
    let Some(pid) = fs::read_to_string(&pid_file)
        .ok()
        .and_then(|text| text.lines().next()?.trim().parse().ok())
    else {
        return Ok(());
    };
    let is_ours = |pid| runs_on(pid, data);
    if process::is_running(pid) && is_ours(pid) {
        finder.tell(Notice::StoppingLeftover {
            software: SOFTWARE,
            pid,
        });
        if !process::stop_leftover(pid, StopSignal::Interrupt, is_ours) {
            return Err(StartError::Leftover {
                software: SOFTWARE,
                pid,
            });
        }
    }
    // The children of a server that crashed notice it and go; they must not see a new one.
    if let Some(child) = process::end_all_working_in(data) {
        return Err(StartError::Leftover {
            software: SOFTWARE,
            pid: child,
        });
    }
    // The number may belong to another program by now, or to a dead process that nobody reaps (in a container, say):
    // Postgres would take either for a living server and refuse to start.
    if pid_file.exists() && process::exists(pid) {
        fs::remove_file(&pid_file).map_err(failed(&pid_file, "removing a stale file"))?;
    }
    // The same goes for the lock beside its socket, which is in this folder and therefore nobody else's.
    for entry in fs::read_dir(data).into_iter().flatten().flatten() {
        if entry.file_name().as_bytes().starts_with(b".s.PGSQL.") {
            let path = entry.path();
            fs::remove_file(&path).map_err(failed(&path, "removing a stale file"))?;
        }
    }
    Ok(())
}

/// A Postgres server works in its data folder and is called with it.
fn runs_on(pid: u32, data: &Path) -> bool {
    process::works_in(pid, data).unwrap_or_else(|| {
        process::command_line(pid).is_some_and(|line| line.contains(&*data.to_string_lossy()))
    })
}
