//! A route of the document, and what it is asked with.

use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use testkit::Person;
use uuid::Uuid;

/// One operation of the document.
pub struct Route {
    pub name: String,
    pub method: Method,
    pub path: String,
    operation: Value,
}

impl Route {
    /// All of them.
    pub fn all(document: &Value) -> Vec<Self> {
        let mut routes = Vec::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                routes.push(Self {
                    name: operation["operationId"].as_str().unwrap().to_owned(),
                    method: method.to_uppercase().parse().unwrap(),
                    path: path.clone(),
                    operation: operation.clone(),
                });
            }
        }
        assert!(routes.len() > 60, "{}", routes.len());
        routes
    }

    pub fn has_tag(&self, tag: &str) -> bool {
        self.operation["tags"]
            .as_array()
            .unwrap()
            .iter()
            .any(|name| name == tag)
    }

    pub fn takes_json(&self) -> bool {
        self.operation["requestBody"]["content"]["application/json"].is_object()
    }

    pub fn takes_a_form(&self) -> bool {
        self.operation["requestBody"]["content"]["multipart/form-data"].is_object()
    }

    /// Whether the header is a parameter: if so, whether it must be sent.
    pub fn header(&self, name: &str) -> Option<bool> {
        let parameters = self.operation["parameters"].as_array()?;
        let found = parameters
            .iter()
            .find(|parameter| parameter["in"] == "header" && parameter["name"] == name)?;
        Some(found["required"].as_bool().unwrap_or(false))
    }

    /// The parameters of the path, those that are ids of things.
    pub fn ids(&self) -> Vec<&str> {
        let parameters = self.operation["parameters"].as_array();
        parameters
            .into_iter()
            .flatten()
            .filter(|parameter| {
                parameter["in"] == "path" && parameter["schema"]["format"] == "uuid"
            })
            .map(|parameter| parameter["name"].as_str().unwrap())
            .collect()
    }

    /// The documented roles that may come here; everybody may where none is named.
    pub fn roles(&self) -> Vec<&'static str> {
        let all = ["admin", "customer", "deliverer", "partner"];
        let said = self.operation["responses"]["403"]["description"].as_str();
        let named = all
            .into_iter()
            .filter(|role| said.unwrap_or_default().contains(role));
        match named.collect::<Vec<_>>() {
            none if none.is_empty() => all.to_vec(),
            named => named,
        }
    }

    /// A request under a fresh key.
    pub fn request(&self, who: &Person, path: &str, body: Option<&Value>) -> RequestBuilder {
        self.request_under(&Uuid::now_v7().to_string(), who, path, body)
    }

    /// A request under this key.
    pub fn request_under(
        &self,
        key: &str,
        who: &Person,
        path: &str,
        body: Option<&Value>,
    ) -> RequestBuilder {
        let request = who
            .request(self.method.clone(), path)
            .header("Idempotency-Key", key);
        match body {
            Some(body) => request.json(body),
            None => request,
        }
    }
}
