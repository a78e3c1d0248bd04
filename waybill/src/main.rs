//! The one binary people meet.
fn main() {}
