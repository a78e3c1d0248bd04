//! The installation's signing key, the tokens signed with it, and the public key that others check them with.

mod checked;
mod jwks;
mod key_file;
mod revoked;
mod tokens;

pub use jwks::{JwkSet, PublicKey};
pub use key_file::{KeyFileError, SigningKey};
pub use revoked::Revoked;
pub(crate) use tokens::reason;
pub use tokens::{AuthError, Grant, ISSUER, IssueError, MAX_TOKEN_BYTES, Tokens};
