//! One file out of a form: the field `avatar` of a `multipart/form-data` body, read as far as it may be long.

use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName};
use multer::{Constraints, Multipart, SizeLimit};

use service_kit::Problem;
use service_kit::problem::FieldError;

/// The largest file.
pub(crate) const FILE_BYTES_MAX: usize = 5 * 1024 * 1024;
/// What a form may have around its file.
const FORM_BYTES_MAX: usize = FILE_BYTES_MAX + 64 * 1024;
const FIELD: &str = "avatar";

/// The file of the field `avatar`. Its name and the type that the form claims are not looked at.
#[derive(Debug)]
pub(crate) struct Upload(pub(crate) Bytes);

impl<S: Send + Sync> FromRequest<S> for Upload {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        let mut form = open(request)?;
        let mut file = None;
        while let Some(field) = form.next_field().await.map_err(refused)? {
            if file.is_some() {
                return Err(invalid("unknown_field", "there is one file, and not two"));
            }
            file = Some(field.bytes().await.map_err(refused)?);
        }
        match file {
            Some(file) if !file.is_empty() => Ok(Self(file)),
            _ => Err(invalid("required", "the field `avatar` holds the file")),
        }
    }
}

/// The form, unless it is none or says itself that it is too long. What it holds is not read yet.
fn open(request: Request) -> Result<Multipart<'static>, Problem> {
    let kind = header(&request, &CONTENT_TYPE);
    let Some(boundary) = kind.and_then(|kind| multer::parse_boundary(kind).ok()) else {
        return Err(Problem::unsupported_media_type("multipart/form-data"));
    };
    let claimed = header(&request, &CONTENT_LENGTH).and_then(|length| length.parse::<usize>().ok());
    if claimed.is_some_and(|length| length > FORM_BYTES_MAX) {
        return Err(Problem::too_large(FILE_BYTES_MAX));
    }
    let limits = SizeLimit::new()
        .whole_stream(FORM_BYTES_MAX as u64)
        .for_field(FIELD, FILE_BYTES_MAX as u64);
    let constraints = Constraints::new()
        .allowed_fields(vec![FIELD])
        .size_limit(limits);
    let body = request.into_body().into_data_stream();
    Ok(Multipart::with_constraints(body, boundary, constraints))
}

fn header<'r>(request: &'r Request, name: &HeaderName) -> Option<&'r str> {
    request.headers().get(name)?.to_str().ok()
}

fn invalid(code: &'static str, detail: &str) -> Problem {
    Problem::invalid(vec![FieldError {
        pointer: format!("/{FIELD}"),
        code: code.into(),
        detail: detail.to_owned(),
    }])
}

fn refused(error: multer::Error) -> Problem {
    match error {
        multer::Error::FieldSizeExceeded { .. } | multer::Error::StreamSizeExceeded { .. } => {
            Problem::too_large(FILE_BYTES_MAX)
        }
        multer::Error::UnknownField { .. } => {
            invalid("unknown_field", "the form has the one field `avatar`")
        }
        other => Problem::bad_request(
            "form_malformed",
            format!("the form cannot be read: {other}"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn part(name: &str, content: &[u8]) -> Vec<u8> {
        let head = format!(
            "--cut\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"x.exe\"\r\n\
             Content-Type: text/plain\r\n\r\n"
        );
        [head.as_bytes(), content, b"\r\n"].concat()
    }

    async fn sent(kind: &str, body: Vec<u8>) -> Result<Bytes, (u16, String)> {
        let request = Request::put("/v1/me/avatar")
            .header(CONTENT_TYPE, kind)
            .body(Body::from(body))
            .unwrap();
        match Upload::from_request(request, &()).await {
            Ok(Upload(file)) => Ok(file),
            Err(problem) => Err((problem.status().as_u16(), problem.code().to_owned())),
        }
    }

    async fn form(parts: &[Vec<u8>]) -> Result<Bytes, (u16, String)> {
        let body = [parts.concat(), b"--cut--\r\n".to_vec()].concat();
        sent("multipart/form-data; boundary=cut", body).await
    }

    #[tokio::test]
    async fn the_file_is_read_up_to_the_limit_and_not_a_byte_beyond() {
        assert_eq!(form(&[part(FIELD, b"abc")]).await.unwrap(), "abc");
        let most = vec![0; FILE_BYTES_MAX];
        assert_eq!(
            form(&[part(FIELD, &most)]).await.unwrap().len(),
            FILE_BYTES_MAX
        );
        let more = vec![0; FILE_BYTES_MAX + 1];
        assert_eq!(
            form(&[part(FIELD, &more)]).await.unwrap_err().0,
            413,
            "one byte more"
        );
    }

    #[tokio::test]
    async fn forms_without_the_file_with_others_or_broken_ones_are_refused_by_name() {
        let code = async |parts: &[Vec<u8>]| form(parts).await.unwrap_err();
        assert_eq!(code(&[]).await.0, 422);
        assert_eq!(code(&[part(FIELD, b"")]).await.0, 422);
        assert_eq!(code(&[part("other", b"x")]).await.0, 422);
        assert_eq!(code(&[part(FIELD, b"x"), part(FIELD, b"y")]).await.0, 422);
        let cut = part(FIELD, b"x");
        let broken = sent("multipart/form-data; boundary=cut", cut).await;
        assert_eq!(broken.unwrap_err(), (400, "form_malformed".into()));
        for kind in ["image/png", "multipart/form-data", "application/json"] {
            assert_eq!(sent(kind, b"x".to_vec()).await.unwrap_err().0, 415);
        }
    }
}
