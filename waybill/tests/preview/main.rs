//! `waybill notifications` as people call it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::process::{Command, Output};

fn waybill(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_waybill"))
        .args(["--smtp-from", "Corner Shop <shop@example.com>"])
        .arg("notifications")
        .args(args)
        .output()
        .unwrap()
}

fn printed(args: &[&str]) -> String {
    let output = waybill(args);
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_message_is_shown_in_the_form_that_was_asked_for() {
    let text = printed(&["preview", "order_confirmed"]);
    assert!(text.starts_with("Subject: Order confirmed: "), "{text}");
    assert!(text.contains("Corner Shop") && text.contains("Total 64.00 EUR"));
    assert_eq!(text, printed(&["preview", "order_confirmed", "--text"]));
    let html = printed(&["preview", "order_confirmed", "--html"]);
    assert!(html.starts_with("<!doctype html>"), "{html}");
    let short = printed(&["preview", "order_confirmed", "--short"]);
    assert!(short.starts_with("Corner Shop: Your order ") && short.lines().count() == 1);
}

#[test]
fn all_messages_are_written_into_a_folder_in_all_forms() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("preview");
    let files = printed(&["preview", "--out", out.to_str().unwrap()]);
    assert_eq!(files.lines().count(), 3 * 15);
    for file in files.lines() {
        assert!(std::fs::metadata(file).unwrap().len() > 40, "{file}");
    }
}

#[test]
fn a_kind_that_is_none_is_answered_with_those_that_there_are() {
    let output = waybill(&["preview", "order_eaten"]);
    assert!(!output.status.success() && output.stdout.is_empty());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("order_eaten") && said.contains("order_confirmed"),
        "{said}"
    );
    let both = waybill(&["preview", "--html", "--short"]);
    assert!(!both.status.success());
}

#[test]
fn a_key_for_pushes_is_made_once_for_its_owner_alone_and_its_public_half_is_told_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("push.key");
    let path = file.to_str().unwrap();
    let public = printed(&["push-key", "--new", path]);
    assert_eq!(public.trim().len(), 87, "{public}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    // What is there is not written over.
    assert!(!waybill(&["push-key", "--new", path]).status.success());
    let settings = [
        "--webpush-key-file",
        path,
        "--webpush-subject",
        "mailto:shop@example.com",
    ];
    assert_eq!(printed(&[&["push-key"][..], &settings].concat()), public);
    let without = waybill(&["push-key"]);
    assert!(!without.status.success());
    assert!(
        String::from_utf8(without.stderr)
            .unwrap()
            .contains("WAYBILL_WEBPUSH_KEY_FILE")
    );
}
