//! A bar for what takes long, on a terminal only.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar that is redrawn more often costs more than it tells.
const REDRAW_PERIOD: Duration = Duration::from_millis(200);

/// A bar under a name; its length is still to be set.
pub fn new(name: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(0).with_message(name.to_owned());
    if let Ok(style) =
        ProgressStyle::with_template("{msg} {bar:30} {pos}/{len}  {per_sec}  {eta} left")
    {
        bar.set_style(style);
    }
    bar.enable_steady_tick(REDRAW_PERIOD);
    bar
}
