//! Printing for people: to standard output, and quietly done when nobody reads on (`| head`).

use std::io::{self, Write};

/// Prints a line; a closed pipe ends the program as it would any other command.
pub fn line(text: impl AsRef<str>) {
    let mut out = io::stdout().lock();
    if let Err(error) = writeln!(out, "{}", text.as_ref()).and_then(|()| out.flush())
        && error.kind() == io::ErrorKind::BrokenPipe
    {
        std::process::exit(0);
    }
}

/// Prints a line about progress or trouble to standard error.
pub fn note(text: impl AsRef<str>) {
    // Nothing sensible can be done when standard error is gone.
    let _ = writeln!(io::stderr().lock(), "{}", text.as_ref());
}
