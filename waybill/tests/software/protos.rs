//! The protos are held to the rules that their `buf.yaml` names, by buf itself. What must not change in them is the
//! business of `grpc-door/tests/breaking.rs`.

use std::path::Path;

use testkit::buf_lint;

use crate::project;

fn copied(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copied(&entry.path(), &to),
            false => drop(std::fs::copy(entry.path(), to).unwrap()),
        }
    }
}

#[test]
fn the_protos_keep_the_rules_that_they_name_and_one_that_does_not_is_found() {
    let protos = project("grpc-door/proto");
    let said = buf_lint(&protos);
    assert!(said.status.success(), "{said:?}");

    let folder = tempfile::tempdir().unwrap();
    copied(&protos, folder.path());
    let file = folder.path().join("waybill/v1/orders.proto");
    let text = std::fs::read_to_string(&file).unwrap();
    let spoilt = text.replacen("string order_id = 1;", "string OrderId = 1;", 1);
    assert_ne!(text, spoilt);
    std::fs::write(&file, spoilt).unwrap();
    let said = buf_lint(folder.path());
    assert!(!said.status.success());
    let why = String::from_utf8(said.stdout).unwrap();
    assert!(
        why.contains("orders.proto") && why.contains("OrderId"),
        "{why}"
    );
}
