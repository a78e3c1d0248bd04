//! A push service for browsers, and the browsers behind it: `GET /sandbox/subscription/{name}` is what a browser's page
//! would send to the shop, `POST /webpush/{name}` takes what the shop pushes there (RFC 8030) and opens it as the browser
//! would (RFC 8291, `aes128gcm`). The keys of a name are always the same in one installation.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{self, ECDH_P256, PrivateKey, UnparsedPublicKey};
use aws_lc_rs::hkdf::{self, HKDF_SHA256, KeyType, Prk, Salt};
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_ENCODING};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Value, json};

use crate::Sandbox;
use crate::answer::{Language, answer};
use crate::message::{Message, Via};

const NAME_CHARS_MAX: usize = 64;
/// What every push service takes.
const BODY_BYTES_MAX: usize = 4_096;
const SALT_BYTES: usize = 16;
const POINT_BYTES: usize = 65;
const AUTH_BYTES: usize = 16;
/// Salt, record size, length of the sender's key, and the key.
const HEADER_BYTES: usize = SALT_BYTES + 4 + 1 + POINT_BYTES;
/// Ends the last record; what follows is padding.
const LAST_RECORD: u8 = 2;

pub(crate) fn routes() -> Router<Sandbox> {
    Router::new()
        .route("/sandbox/subscription/{name}", get(subscription))
        .route("/webpush/{name}", post(push))
}

/// A browser's own keys.
struct Browser {
    private: PrivateKey,
    public: Vec<u8>,
    auth: [u8; AUTH_BYTES],
}

struct Bytes32;

impl KeyType for Bytes32 {
    fn len(&self) -> usize {
        32
    }
}

struct Short(usize);

impl KeyType for Short {
    fn len(&self) -> usize {
        self.0
    }
}

fn expanded<const N: usize>(prk: &Prk, info: &[&[u8]]) -> Option<[u8; N]> {
    let mut out = [0; N];
    prk.expand(info, Short(N)).ok()?.fill(&mut out).ok()?;
    Some(out)
}

impl Browser {
    /// None for a name that no path has.
    fn named(name: &str, seed: &Prk) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if name.is_empty() || name.len() > NAME_CHARS_MAX || !name.bytes().all(plain) {
            return None;
        }
        let mut scalar = [0; 32];
        let info = [b"key ".as_slice(), name.as_bytes()];
        seed.expand(&info, Bytes32).ok()?.fill(&mut scalar).ok()?;
        let private = PrivateKey::from_private_key(&ECDH_P256, &scalar).ok()?;
        let public = private.compute_public_key().ok()?.as_ref().to_vec();
        let auth = expanded(seed, &[b"auth ", name.as_bytes()])?;
        Some(Self {
            private,
            public,
            auth,
        })
    }

    /// Opens a message; none when it was not made for this browser.
    fn open(&self, body: &[u8]) -> Option<Vec<u8>> {
        let (header, sealed) = body.split_at_checked(HEADER_BYTES)?;
        let (salt, rest) = header.split_at(SALT_BYTES);
        if usize::from(rest[4]) != POINT_BYTES {
            return None;
        }
        let sender = &rest[5..];
        let peer = UnparsedPublicKey::new(&ECDH_P256, sender);
        let shared: [u8; 32] = agreement::agree(&self.private, peer, (), |secret| {
            <[u8; 32]>::try_from(secret).map_err(|_| ())
        })
        .ok()?;
        let combined = Salt::new(HKDF_SHA256, &self.auth).extract(&shared);
        let info = [b"WebPush: info\0".as_slice(), &self.public, sender];
        let key_material: [u8; 32] = expanded(&combined, &info)?;
        let prk = hkdf::Salt::new(HKDF_SHA256, salt).extract(&key_material);
        let key: [u8; 16] = expanded(&prk, &[b"Content-Encoding: aes128gcm\0"])?;
        let nonce: [u8; 12] = expanded(&prk, &[b"Content-Encoding: nonce\0"])?;
        let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).ok()?);
        let mut record = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(nonce);
        let plain = key.open_in_place(nonce, Aad::empty(), &mut record).ok()?;
        let end = plain.iter().rposition(|byte| *byte != 0)?;
        (plain[end] == LAST_RECORD).then(|| plain[..end].to_vec())
    }
}

async fn subscription(State(sandbox): State<Sandbox>, Path(name): Path<String>) -> Response {
    match Browser::named(&name, sandbox.account().seed()) {
        Some(browser) => Json(json!({
            "endpoint": format!("{}/webpush/{name}", sandbox.public_url()),
            "expirationTime": null,
            "keys": {
                "p256dh": URL_SAFE_NO_PAD.encode(&browser.public),
                "auth": URL_SAFE_NO_PAD.encode(browser.auth),
            },
        }))
        .into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn push(
    State(sandbox): State<Sandbox>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let said = |wanted: &str| headers.get(wanted).and_then(|value| value.to_str().ok());
    let refused = |status: StatusCode, why: &str| (status, why.to_owned()).into_response();
    let Some(browser) = Browser::named(&name, sandbox.account().seed()) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    if said("ttl")
        .and_then(|ttl| ttl.parse::<u64>().ok())
        .is_none()
    {
        return refused(StatusCode::BAD_REQUEST, "the header TTL is missing");
    }
    let vapid = said(AUTHORIZATION.as_str()).unwrap_or_default();
    if !vapid.starts_with("vapid ") || !vapid.contains("t=") || !vapid.contains("k=") {
        return refused(StatusCode::UNAUTHORIZED, "vapid t=…, k=… is missing");
    }
    if said(CONTENT_ENCODING.as_str()) != Some("aes128gcm") {
        return refused(StatusCode::BAD_REQUEST, "only aes128gcm is understood");
    }
    if body.len() > BODY_BYTES_MAX {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    }
    let Some(opened) = browser.open(&body) else {
        return refused(StatusCode::BAD_REQUEST, "it was not made for this browser");
    };
    let data: Option<Value> = serde_json::from_slice(&opened).ok();
    let text = |name: &str| Some(data.as_ref()?.get(name)?.as_str()?.to_owned());
    let message = Message {
        subject: text("title"),
        text: text("body").or_else(|| String::from_utf8(opened.clone()).ok()),
        data: data.clone(),
        ..Message::new(Via::WebPush, name)
    };
    answer(&sandbox, message, &PushService).await
}

struct PushService;

impl Language for PushService {
    fn taken(&self, message: &Message) -> Response {
        let mut answer = StatusCode::CREATED.into_response();
        if let Ok(place) = HeaderValue::from_str(&format!("/webpush/messages/{}", message.id)) {
            answer.headers_mut().insert(http::header::LOCATION, place);
        }
        answer
    }

    fn too_many(&self) -> Response {
        ([("retry-after", "1")], StatusCode::TOO_MANY_REQUESTS).into_response()
    }

    fn unavailable(&self) -> Response {
        StatusCode::SERVICE_UNAVAILABLE.into_response()
    }

    fn rejected(&self) -> Response {
        StatusCode::BAD_REQUEST.into_response()
    }

    fn dead(&self) -> Response {
        StatusCode::GONE.into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8291, section 5 and appendix A.
    #[test]
    fn the_example_of_rfc_8291_is_opened() {
        let decoded = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
        let private = decoded("q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94");
        let private = PrivateKey::from_private_key(&ECDH_P256, &private).unwrap();
        let browser = Browser {
            public: private.compute_public_key().unwrap().as_ref().to_vec(),
            private,
            auth: decoded("BTBZMqHH6r4Tts7J_aSIgg").try_into().unwrap(),
        };
        let body = decoded(
            "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN",
        );
        let opened = browser.open(&body).unwrap();
        assert_eq!(opened, b"When I grow up, I want to be a watermelon");
        let mut changed = body.clone();
        *changed.last_mut().unwrap() ^= 1;
        assert_eq!(browser.open(&changed), None);
        assert_eq!(browser.open(&body[..50]), None);
    }
}
