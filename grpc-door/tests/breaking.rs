//! What was published stays: numbers, names, types and routes of the committed descriptors are those of the protos.
//! Something new is accepted with `WAYBILL_ACCEPT_PROTOS=1 cargo test -p grpc-door --test breaking`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::path::Path;

use prost_reflect::{DescriptorPool, FieldDescriptor, MethodDescriptor};

const ROUTE: &str = "waybill.v1.route";

fn form(field: &FieldDescriptor) -> String {
    format!(
        "{} = {}: {:?} {:?} presence {}",
        field.name(),
        field.number(),
        field.kind(),
        field.cardinality(),
        field.supports_presence()
    )
}

fn form_of(method: &MethodDescriptor) -> String {
    let option = method.parent_pool().get_extension_by_name(ROUTE).unwrap();
    let options = method.options();
    format!(
        "{} -> {} streaming {}, {:?}",
        method.input().full_name(),
        method.output().full_name(),
        method.is_server_streaming(),
        options.get_extension(&option)
    )
}

/// What of the old is not in the new as it was.
fn broken(old: &DescriptorPool, new: &DescriptorPool) -> Vec<String> {
    let mut broken = Vec::new();
    for message in old.all_messages() {
        let name = message.full_name();
        let Some(present) = new.get_message_by_name(name) else {
            broken.push(format!("{name} is gone"));
            continue;
        };
        for field in message.fields() {
            let now = present.get_field(field.number());
            if now.as_ref().map(form) != Some(form(&field)) {
                broken.push(format!("{name}: {} was {}", field.name(), form(&field)));
            }
        }
    }
    for service in old.services() {
        let present = new.get_service_by_name(service.full_name());
        for method in service.methods() {
            let now = present
                .as_ref()
                .and_then(|service| service.methods().find(|now| now.name() == method.name()));
            if now.as_ref().map(form_of) != Some(form_of(&method)) {
                broken.push(format!("{} was {}", method.full_name(), form_of(&method)));
            }
        }
    }
    broken
}

#[test]
fn what_clients_were_promised_stays() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto/published.bin");
    let new = DescriptorPool::decode(grpc_door::descriptors()).unwrap();
    if std::env::var_os("WAYBILL_ACCEPT_PROTOS").is_none() {
        let published = std::fs::read(&path).unwrap();
        let old = DescriptorPool::decode(published.as_slice()).unwrap();
        let broken = broken(&old, &new);
        assert!(broken.is_empty(), "{broken:#?}");
        assert!(
            published == grpc_door::descriptors(),
            "the protos have grown; accept what is new, see the head of this file"
        );
        return;
    }
    if let Ok(published) = std::fs::read(&path) {
        let old = DescriptorPool::decode(published.as_slice()).unwrap();
        assert!(broken(&old, &new).is_empty(), "{:#?}", broken(&old, &new));
    }
    std::fs::write(path, grpc_door::descriptors()).unwrap();
}

#[test]
fn a_field_that_changes_its_type_or_is_gone_is_noticed() {
    let old = DescriptorPool::decode(grpc_door::descriptors()).unwrap();
    let mut changed = old.file_descriptor_protos().cloned().collect::<Vec<_>>();
    let orders = changed
        .iter_mut()
        .find(|file| file.name().ends_with("v1/orders.proto"))
        .unwrap();
    let wanted = orders
        .message_type
        .iter_mut()
        .find(|message| message.name() == "WantedLine")
        .unwrap();
    wanted.field.retain(|field| field.name() != "quantity");
    wanted.field[0].number = Some(9);
    let mut new = DescriptorPool::new();
    new.add_file_descriptor_protos(changed).unwrap();
    let broken = broken(&old, &new);
    assert!(
        broken.iter().any(|line| line.contains("quantity"))
            && broken.iter().any(|line| line.contains("product_id")),
        "{broken:#?}"
    );
}
