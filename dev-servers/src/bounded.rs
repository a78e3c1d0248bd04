//! Runs a program to its end within a time limit and keeps what it said. Used for everything that is not a server.

use std::{
    io::{self, Read, Write},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// More than this of a program's output is thrown away (from the front).
const KEPT_OUTPUT_BYTES: usize = 64 * 1024;
/// How long output may still trickle in after the program has ended.
const OUTPUT_GRACE: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(5);

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) success: bool,
    pub(crate) status: String,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Output {
    /// The program's own reason in one line: its last line on stderr, else on stdout, else the exit status.
    pub(crate) fn reason(&self) -> String {
        [&self.stderr, &self.stdout]
            .into_iter()
            .find_map(|text| {
                let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
                // Package managers end with advice and notices; the error line says more.
                lines
                    .clone()
                    .rfind(|line| {
                        let line = line.to_ascii_lowercase();
                        line.contains("error") || line.contains("fatal") || line.starts_with("e:")
                    })
                    .or_else(|| lines.next_back())
                    .map(|line| format!("{} ({})", clip(line), self.status))
            })
            .unwrap_or_else(|| self.status.clone())
    }
}

fn clip(line: &str) -> String {
    const LONGEST_REASON_CHARS: usize = 300;
    line.chars().take(LONGEST_REASON_CHARS).collect()
}

/// Runs `command` with `input` on its stdin. A program that takes longer than `limit` is killed.
pub(crate) fn run(command: &mut Command, input: &str, limit: Duration) -> io::Result<Output> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not read its input closes the pipe; its exit status tells the story.
        if let Err(error) = stdin.write_all(input.as_bytes())
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            end(&mut child);
            return Err(error);
        }
    }
    let stdout = child.stdout.take().map(collect);
    let stderr = child.stderr.take().map(collect);
    let deadline = Instant::now() + limit;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() >= deadline {
            end(&mut child);
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("not finished after {} s", limit.as_secs()),
            ));
        }
        thread::sleep(POLL);
    };
    Ok(Output {
        success: status.success(),
        status: status.to_string(),
        stdout: stdout.map(joined).unwrap_or_default(),
        stderr: stderr.map(joined).unwrap_or_default(),
    })
}

fn end(child: &mut Child) {
    // Both fail only when it has already ended.
    let _ = child.kill();
    let _ = child.wait();
}

/// Output being read on a thread of its own.
struct Collected {
    kept: Arc<Mutex<Vec<u8>>>,
    thread: thread::JoinHandle<()>,
}

fn collect(mut from: impl Read + Send + 'static) -> Collected {
    let kept = Arc::new(Mutex::new(Vec::new()));
    let shared = Arc::clone(&kept);
    let thread = thread::spawn(move || {
        let mut chunk = [0; 8 * 1024];
        while let Ok(read) = from.read(&mut chunk) {
            if read == 0 {
                break;
            }
            let mut kept = shared.lock().unwrap_or_else(PoisonError::into_inner);
            kept.extend_from_slice(&chunk[..read]);
            if kept.len() > KEPT_OUTPUT_BYTES {
                let surplus = kept.len() - KEPT_OUTPUT_BYTES;
                kept.drain(..surplus);
            }
        }
    });
    Collected { kept, thread }
}

fn joined(collected: Collected) -> String {
    // A package manager may leave a daemon behind that holds the pipe open for ever: what is here by then is enough.
    let deadline = Instant::now() + OUTPUT_GRACE;
    while !collected.thread.is_finished() && Instant::now() < deadline {
        thread::sleep(POLL);
    }
    let kept = collected
        .kept
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    String::from_utf8_lossy(&kept).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn the_reason_of_a_failure_is_the_programs_error_line() {
        let output = run(
            &mut sh("echo 'ERROR: no such package' >&2; echo 'notice: update me' >&2; exit 3"),
            "",
            Duration::from_secs(10),
        )
        .unwrap();
        assert!(!output.success);
        assert!(
            output.reason().starts_with("ERROR: no such package"),
            "{}",
            output.reason()
        );
        assert!(output.reason().contains('3'));
    }

    #[test]
    fn a_program_that_hangs_is_ended() {
        let began = Instant::now();
        let error = run(&mut sh("exec sleep 60"), "", Duration::from_millis(100)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn much_output_does_not_block_the_program() {
        let output = run(
            &mut sh("i=0; while [ $i -lt 20000 ]; do echo 0123456789; i=$((i+1)); done; cat"),
            "the end",
            Duration::from_secs(30),
        )
        .unwrap();
        assert!(output.success);
        assert!(output.stdout.ends_with("the end"));
        assert!(output.stdout.len() <= KEPT_OUTPUT_BYTES);
    }
}
