//! The header `If-Match`: optional everywhere; when it is sent, a command that was decided on an older version of the
//! thing is answered 412 and changes nothing.

use axum::extract::FromRequestParts;
use http::header::IF_MATCH;
use http::request::Parts;

use event_schema::Version;
use service_kit::Problem;

/// More tags than this in one header are not an honest question.
const MAX_TAGS: usize = 16;

/// What the caller believes the version to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum IfMatch {
    /// He does not say, or any version will do.
    Any,
    /// One of these.
    Versions(Vec<Version>),
}

impl IfMatch {
    /// 412 unless the version is one that the caller named.
    pub(crate) fn check(&self, actual: Version) -> Result<(), Problem> {
        match self {
            Self::Any => Ok(()),
            Self::Versions(named) if named.contains(&actual) => Ok(()),
            Self::Versions(_) => Err(Problem::stale_version(format!(
                "it is at version {actual} by now; read it again before you change it"
            ))),
        }
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        if text.trim() == "*" {
            return Ok(Self::Any);
        }
        let tags: Vec<&str> = text.split(',').map(str::trim).collect();
        if tags.len() > MAX_TAGS || tags.iter().any(|tag| !is_tag(tag)) {
            return Err(Problem::bad_request(
                "if_match_invalid",
                "If-Match is the ETag of an earlier answer, such as \"3\", or *",
            ));
        }
        // A well-formed tag that never was one of ours matches nothing; neither does a weak one (RFC 9110, 13.1.1).
        let version = |tag: &str| {
            tag.strip_prefix('"')?
                .strip_suffix('"')?
                .parse()
                .ok()
                .map(Version)
        };
        Ok(Self::Versions(
            tags.into_iter().filter_map(version).collect(),
        ))
    }
}

fn is_tag(tag: &str) -> bool {
    let opaque = tag.strip_prefix("W/").unwrap_or(tag);
    opaque.len() >= 2 && opaque.starts_with('"') && opaque.ends_with('"')
}

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let mut values = parts.headers.get_all(IF_MATCH).iter();
        match (values.next(), values.next()) {
            (None, _) => Ok(Self::Any),
            (Some(value), None) => Self::parse(value.to_str().unwrap_or_default()),
            // Several lines are one list.
            (Some(_), Some(_)) => {
                let all: Vec<&str> = parts
                    .headers
                    .get_all(IF_MATCH)
                    .iter()
                    .map(|value| value.to_str().unwrap_or_default())
                    .collect();
                Self::parse(&all.join(","))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> IfMatch {
        IfMatch::parse(text).unwrap()
    }

    #[test]
    fn the_version_of_an_earlier_answer_matches_itself_only() {
        assert!(parse("\"3\"").check(Version(3)).is_ok());
        assert_eq!(
            parse("\"3\"").check(Version(4)).unwrap_err().status(),
            http::StatusCode::PRECONDITION_FAILED
        );
        assert!(parse("\"1\", \"4\"").check(Version(4)).is_ok());
    }

    #[test]
    fn a_star_matches_every_version_and_weak_or_foreign_tags_none() {
        assert!(parse("*").check(Version(9)).is_ok());
        assert!(parse("W/\"3\"").check(Version(3)).is_err());
        assert!(parse("\"abc\"").check(Version(3)).is_err());
    }

    #[test]
    fn what_is_no_tag_is_unreadable() {
        for bad in ["3", "", "\"", "\"3", "a,b"] {
            assert_eq!(
                IfMatch::parse(bad).unwrap_err().status(),
                http::StatusCode::BAD_REQUEST,
                "{bad}"
            );
        }
    }
}
