//! The body of a command: a JSON object with fields, nothing else.

use std::fmt;
use std::marker::PhantomData;

use axum::extract::{FromRequest, Request};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, MapAccess, Visitor};

use service_kit::Problem;
use service_kit::extract::Json;

/// The fields of a command. Refuses what [`Json`] refuses, and also a list: derived shapes would take its items for the
/// fields in the order in which they happen to be declared.
#[derive(Debug)]
pub(crate) struct Fields<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Fields<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let Json(fields) = Json::<Self>::from_request(request, state).await?;
        Ok(fields)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Fields<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
            type Value = Fields<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Fields<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(fields)).map(Fields)
            }
        }

        deserializer.deserialize_map(Object(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use service_kit::extract::parse;

    use super::*;

    #[derive(Debug, serde::Deserialize)]
    struct Sample {
        name: String,
        #[serde(default)]
        inner: Option<Inner>,
    }

    #[derive(Debug, serde::Deserialize)]
    struct Inner {
        count: u32,
    }

    fn problem_at(body: serde_json::Value) -> (String, String) {
        let problem = parse::<Fields<Sample>>(body.to_string().as_bytes()).unwrap_err();
        let error = &problem.body().errors[0];
        (error.pointer.clone(), error.code.to_string())
    }

    #[test]
    fn an_object_is_read_and_a_list_is_not() {
        let body = json!({"name": "x", "inner": {"count": 1}}).to_string();
        let Fields(sample) = parse::<Fields<Sample>>(body.as_bytes()).unwrap();
        assert_eq!(
            (sample.name.as_str(), sample.inner.map(|inner| inner.count)),
            ("x", Some(1))
        );
        for bad in [json!([]), json!(["x"]), json!("x"), json!(null)] {
            assert_eq!(problem_at(bad).0, "");
        }
    }

    #[test]
    fn wrong_missing_and_unknown_fields_are_still_named() {
        assert_eq!(
            problem_at(json!({"name": 1})),
            ("/name".into(), "wrong_type".into())
        );
        assert_eq!(problem_at(json!({})), ("/name".into(), "required".into()));
        assert_eq!(
            problem_at(json!({"name": "x", "y": 1})),
            ("/y".into(), "unknown_field".into())
        );
        assert_eq!(
            problem_at(json!({"name": "x", "inner": {"count": "1"}})),
            ("/inner/count".into(), "wrong_type".into())
        );
    }
}
