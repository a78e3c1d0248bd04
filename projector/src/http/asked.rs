//! What a query asks of the read side's freshness: `Waybill-Min-Position` and `Waybill-Wait-Ms`.

use std::time::Duration;

use axum::extract::FromRequestParts;
use http::HeaderMap;
use http::request::Parts;

use event_schema::Position;
use service_kit::Problem;

/// The position that the answer must include.
pub const MIN_POSITION: &str = "waybill-min-position";
/// How long the query may wait for it.
pub const WAIT_MS: &str = "waybill-wait-ms";
/// How long it waits when it does not say.
pub(super) const DEFAULT_WAIT_MS: u64 = 2_000;
/// The longest it may ask for.
pub(super) const MAX_WAIT_MS: u64 = 10_000;

/// How fresh an answer has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// The position that must be in the rows; none is happy with what there is.
    pub position: Option<Position>,
    /// How long to wait for it.
    pub wait: Duration,
}

impl<S: Send + Sync> FromRequestParts<S> for Asked {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let position = number(&parts.headers, MIN_POSITION)?.map(Position);
        let wait = number(&parts.headers, WAIT_MS)?.unwrap_or(DEFAULT_WAIT_MS);
        if wait > MAX_WAIT_MS {
            return Err(Problem::bad_request(
                "invalid_header",
                format!("Waybill-Wait-Ms is a number from 0 to {MAX_WAIT_MS}"),
            ));
        }
        Ok(Self {
            position,
            wait: Duration::from_millis(wait),
        })
    }
}

fn number(headers: &HeaderMap, name: &'static str) -> Result<Option<u64>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let number = value.to_str().ok().and_then(|text| text.parse().ok());
    match (number, values.next()) {
        (Some(number), None) => Ok(Some(number)),
        _ => Err(Problem::bad_request(
            "invalid_header",
            format!("the header {name} is sent once, as a whole number"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    async fn read(headers: &[(&str, &str)]) -> Result<Asked, Problem> {
        let mut request = Request::new(());
        for (name, value) in headers {
            let name: http::HeaderName = name.parse().unwrap();
            request.headers_mut().append(name, value.parse().unwrap());
        }
        Asked::from_request_parts(&mut request.into_parts().0, &()).await
    }

    #[tokio::test]
    async fn a_query_that_says_nothing_is_happy_with_what_there_is() {
        assert_eq!(read(&[]).await.unwrap().position, None);
    }

    #[tokio::test]
    async fn a_query_waits_two_seconds_unless_it_says_otherwise() {
        let asked = read(&[("waybill-min-position", "7")]).await.unwrap();
        assert_eq!(
            (asked.position, asked.wait),
            (Some(Position(7)), Duration::from_secs(2))
        );
        let asked = read(&[("waybill-min-position", "7"), ("waybill-wait-ms", "0")])
            .await
            .unwrap();
        assert_eq!(asked.wait, Duration::ZERO);
    }

    #[tokio::test]
    async fn a_header_that_is_no_number_or_too_large_is_refused() {
        for bad in [
            &[("waybill-min-position", "-1")][..],
            &[("waybill-min-position", "soon")],
            &[("waybill-wait-ms", "10001")],
            &[("waybill-min-position", "1"), ("waybill-min-position", "2")],
        ] {
            assert_eq!(
                read(bad).await.unwrap_err().code(),
                "invalid_header",
                "{bad:?}"
            );
        }
    }
}
