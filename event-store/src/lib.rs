//! The only code that appends to or loads from JetStream.
