//! The public half of the signing key in the form of RFC 7517, for those who check our tokens themselves.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use utoipa::ToSchema;

/// Keys that our access tokens are signed with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct JwkSet {
    /// One for each key in use.
    pub keys: Vec<PublicKey>,
}

/// One Ed25519 public key (RFC 8037).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PublicKey {
    /// The kind of key.
    #[schema(example = "OKP")]
    kty: &'static str,
    /// The curve.
    #[schema(example = "Ed25519")]
    crv: &'static str,
    /// The algorithm that it is used with.
    #[schema(example = "EdDSA")]
    alg: &'static str,
    /// It checks signatures.
    #[serde(rename = "use")]
    #[schema(example = "sig")]
    usage: &'static str,
    /// Its name in the header of tokens.
    kid: String,
    /// The key itself.
    x: String,
}

impl JwkSet {
    pub(super) fn of(key_id: &str, public: &[u8]) -> Self {
        Self {
            keys: vec![PublicKey {
                kty: "OKP",
                crv: "Ed25519",
                alg: "EdDSA",
                usage: "sig",
                kid: key_id.to_owned(),
                x: URL_SAFE_NO_PAD.encode(public),
            }],
        }
    }
}
