//! The manifests of docker/kubernetes, read.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize as _;
use serde_yaml_ng::{Deserializer, Value};

use crate::{project, read};

/// One object.
pub struct Object {
    pub kind: String,
    pub name: String,
    pub value: Value,
}

/// Files that the kustomization names, its own folder's only.
pub fn files() -> Vec<PathBuf> {
    let list: Value =
        serde_yaml_ng::from_str(&read("docker/kubernetes/kustomization.yaml")).unwrap();
    let named = list["resources"].as_sequence().unwrap().iter();
    named
        .filter_map(Value::as_str)
        .filter(|name| !name.starts_with(".."))
        .map(|name| project("docker/kubernetes").join(name))
        .collect()
}

/// All of them.
pub fn objects() -> Vec<Object> {
    let mut objects = Vec::new();
    for file in files() {
        let text = std::fs::read_to_string(&file)
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        for document in Deserializer::from_str(&text) {
            let value = Value::deserialize(document).unwrap();
            objects.push(Object {
                kind: value["kind"].as_str().unwrap().to_owned(),
                name: value["metadata"]["name"].as_str().unwrap().to_owned(),
                value,
            });
        }
    }
    objects
}

impl Object {
    /// What it runs, if it runs something.
    pub fn pod(&self) -> Option<&Value> {
        matches!(&*self.kind, "Deployment" | "StatefulSet" | "Job")
            .then(|| &self.value["spec"]["template"])
    }

    /// Its one container.
    pub fn container(&self) -> &Value {
        let containers = self.pod().unwrap()["spec"]["containers"]
            .as_sequence()
            .unwrap();
        assert_eq!(containers.len(), 1, "{}", self.name);
        &containers[0]
    }

    /// Settings by name that are written here, and those of the secret's files.
    pub fn settings(&self) -> BTreeMap<String, Option<String>> {
        let env = self.container()["env"].as_sequence();
        let pair = |one: &Value| {
            let value = one["value"].as_str().map(str::to_owned);
            (one["name"].as_str().unwrap().to_owned(), value)
        };
        env.into_iter().flatten().map(pair).collect()
    }

    /// Keys of the one secret that it sees.
    pub fn secrets(&self) -> Vec<String> {
        let volumes = self.pod().unwrap()["spec"]["volumes"].as_sequence();
        let mut keys = Vec::new();
        for volume in volumes.into_iter().flatten() {
            let of_its_own = &volume["secret"];
            let projected = volume["projected"]["sources"].as_sequence();
            let among_others = projected
                .into_iter()
                .flatten()
                .map(|source| &source["secret"]);
            for secret in std::iter::once(of_its_own).chain(among_others) {
                if secret.is_null() {
                    continue;
                }
                // Without a list everything would be shown.
                for item in secret["items"].as_sequence().expect("a list of keys") {
                    keys.push(item["key"].as_str().unwrap().to_owned());
                }
            }
        }
        keys
    }
}
