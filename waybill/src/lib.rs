//! The one binary people meet.
