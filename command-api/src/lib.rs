//! The front door for commands: HTTP, thin.
