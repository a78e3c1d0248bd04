//! The document as the program prints it.

use serde_json::Value;
use tokio::process::Command;

use crate::WAYBILL;

/// Prints it; no server is needed for that.
pub async fn document() -> Value {
    let output = Command::new(WAYBILL).arg("openapi").output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Every operation with its method and path.
pub fn operations(document: &Value) -> Vec<(String, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    paths
        .iter()
        .flat_map(|(path, item)| {
            let methods = item.as_object().unwrap().iter();
            methods.map(move |(method, operation)| {
                (format!("{} {path}", method.to_uppercase()), operation)
            })
        })
        .collect()
}

/// Whether the answer is a stream of events without an end.
pub fn is_endless(operation: &Value) -> bool {
    operation["responses"]["200"]["content"]["text/event-stream"].is_object()
}
