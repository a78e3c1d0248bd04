//! What the tests share: processes, signals and bounded waits.
#![allow(
    dead_code,
    reason = "each test file is a program of its own and uses a part of this"
)]

use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use dev_servers::{Finder, Notice, Progress};

/// Longer than anything here takes, even on a busy machine.
pub const LIMIT: Duration = Duration::from_secs(90);

/// A temporary folder that every account can enter, so that data stay in it also when the tests run as root.
pub fn open_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// A temporary folder that only our own account can enter, as root's home is.
pub fn closed_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    folder
}

/// Waits until `holds`, and fails with `what` when it never does.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !holds() {
        assert!(Instant::now() < deadline, "never happened: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

pub fn is_root() -> bool {
    let out = Command::new("id").arg("-u").output().unwrap();
    String::from_utf8_lossy(&out.stdout).trim() == "0"
}

pub fn alive(pid: u32) -> bool {
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => !stat
            .rsplit(')')
            .next()
            .unwrap()
            .trim_start()
            .starts_with('Z'),
        Err(_) if Path::new("/proc/self").exists() => false,
        Err(_) => signal("0", pid),
    }
}

/// Sends a signal; false when there is no such process.
pub fn signal(name: &str, pid: u32) -> bool {
    Command::new("/bin/kill")
        .args(["-s", name, "--", &pid.to_string()])
        .stderr(Stdio::null())
        .status()
        .unwrap()
        .success()
}

/// Sends a signal to a whole process group, as a terminal does on Ctrl-C.
pub fn signal_group(name: &str, group: u32) {
    let status = Command::new("/bin/kill")
        .args(["-s", name, "--", &format!("-{group}")])
        .status()
        .unwrap();
    assert!(status.success());
}

/// The process ids that the servers of a data folder wrote down: nats-server's and Postgres's.
pub fn server_pids(data: &Path) -> [u32; 2] {
    let first_number = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        text.lines().next().unwrap().trim().parse().unwrap()
    };
    [
        first_number(data.join("nats/nats.pid")),
        first_number(data.join("postgres/data/postmaster.pid")),
    ]
}

/// The program of this crate, running both servers on a data folder.
pub struct Parent {
    pub child: Child,
    pub nats_url: String,
    pub database_url: String,
    _out: BufReader<ChildStdout>,
}

impl Parent {
    pub fn start(data: &Path) -> Self {
        Self::start_with(data, |_| {})
    }

    pub fn start_with(data: &Path, change: impl FnOnce(&mut Command)) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dev-servers"));
        command
            .arg(data)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            // Its own group, as a shell gives it.
            .process_group(0);
        change(&mut command);
        let mut child = command.spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut value_of = |name: &str| {
            let mut line = String::new();
            out.read_line(&mut line).unwrap();
            line.trim()
                .strip_prefix(&format!("export {name}="))
                .unwrap_or_else(|| panic!("{name} expected, {line:?} read"))
                .to_owned()
        };
        let nats_url = value_of("WAYBILL_NATS_URL");
        let database_url = value_of("WAYBILL_DATABASE_URL");
        Self {
            child,
            nats_url,
            database_url,
            _out: out,
        }
    }

    pub fn kill9(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Parent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A finder that remembers what it said.
pub fn listening_finder() -> (Finder, Arc<Mutex<Vec<String>>>) {
    let said = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&said);
    let finder = Finder::new().with_progress(Progress::new(move |notice: &Notice| {
        hears.lock().unwrap().push(notice.to_string());
    }));
    (finder, said)
}

/// Writes a program.
pub fn program(path: &Path, script: &str) {
    fs::write(path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// The first program of that name on PATH.
pub fn installed(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH").unwrap())
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}

/// Puts the machine's own package client into `folder`, whichever way it is called here; false when there is none.
pub fn only_client(folder: &Path, name: &str) -> bool {
    let ways: &[(&str, &str)] = match name {
        "pip" => &[("pip", ""), ("pip3", ""), ("python3", "-m pip")],
        other => &[(other, "")],
    };
    let way = ways
        .iter()
        .find_map(|(program, arguments)| Some((installed(program)?, arguments)));
    if let Some((path, arguments)) = way {
        let own_path = env::var("PATH").unwrap();
        program(
            &folder.join(name),
            &format!(
                "PATH='{own_path}'\nexport PATH\nexec '{}' {arguments} \"$@\"",
                path.display()
            ),
        );
        true
    } else {
        false
    }
}
