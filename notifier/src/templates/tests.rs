//! What a reader must learn from each message, whatever form he reads it in.

use event_schema::notification::Kind;
use event_schema::order::CancelReason;

use super::words::SHORT_CHARS_MAX;
use super::*;

fn rendered(kind: Kind) -> Content {
    render(kind, &Facts::sample())
}

/// What somebody sees of a page: no head, no tags, entities as the letters that they stand for.
fn seen(html: &str) -> String {
    let (_, body) = html.split_once("<body").unwrap();
    let mut text = String::new();
    let mut inside = true;
    for c in body.chars() {
        match c {
            '<' => {
                inside = true;
                text.push(' ');
            }
            '>' => inside = false,
            c if !inside => text.push(c),
            _ => {}
        }
    }
    for (entity, letter) in [
        ("&#60;", "<"),
        ("&#62;", ">"),
        ("&#34;", "\""),
        ("&#39;", "'"),
        ("&#38;", "&"),
    ] {
        text = text.replace(entity, letter);
    }
    text
}

/// The words of a text, without what only separates.
fn spoken(text: &str) -> Vec<&str> {
    text.split_whitespace()
        .filter(|word| word.chars().any(char::is_alphanumeric))
        .collect()
}

#[test]
fn every_kind_is_told_in_every_form() {
    for kind in Kind::ALL {
        let content = rendered(kind);
        let name = kind.as_str();
        assert!(
            !content.subject.is_empty() && !content.subject.contains('\n'),
            "{name}"
        );
        assert!(
            content.text.starts_with("Corner Shop\n"),
            "{name}: {}",
            content.text
        );
        assert!(content.text.contains("Hello Ada Lovelace,"), "{name}");
        assert!(!content.text.contains("\n\n\n"), "{name}: {}", content.text);
        assert!(content.html.starts_with("<!doctype html>"), "{name}");
        assert!(content.short.starts_with("Corner Shop: "), "{name}");
        assert!(content.short.chars().count() <= SHORT_CHARS_MAX, "{name}");
        if kind == Kind::OrderPrepare {
            continue;
        }
        for field in ["title", "body"] {
            let said = content.data[field].as_str().unwrap();
            assert!(
                !said.is_empty() && content.text.contains(said),
                "{name}: {said}"
            );
        }
        assert_eq!(content.data["kind"], name);
    }
}

#[test]
fn text_and_html_tell_the_same_word_by_word() {
    let spare = Facts {
        recipient_name: None,
        partner_title: Some("B & B \"<Tea>\"'s".into()),
        detail: None,
        total: None,
        delivery_address: None,
        phone: None,
        resource_kind: None,
        ..Facts::sample()
    };
    for facts in [Facts::sample(), spare, Facts::default()] {
        for kind in Kind::ALL {
            let content = render(kind, &facts);
            assert_eq!(
                spoken(&content.text),
                spoken(&seen(&content.html)),
                "{}",
                kind.as_str()
            );
        }
    }
}

#[test]
fn whatever_is_told_of_an_order_names_it_in_subject_text_html_and_short() {
    let id = Facts::sample().order_id.unwrap().to_string();
    for kind in Kind::ALL {
        let about_an_order = !matches!(
            kind,
            Kind::CustomerAdded
                | Kind::ResourceAdded
                | Kind::ResourceRemoved
                | Kind::LowStock
                | Kind::WebhookDisabled
        );
        if about_an_order {
            let content = rendered(kind);
            for form in [
                &content.subject,
                &content.text,
                &content.html,
                &content.short,
            ] {
                assert!(form.contains(&id), "{}: {form}", kind.as_str());
            }
            assert_eq!(content.data["order_id"], id);
        }
    }
}

#[test]
fn each_message_tells_what_its_reader_must_learn() {
    for (kind, facts) in [
        (Kind::CustomerAdded, &["account", "ready"][..]),
        (
            Kind::ResourceAdded,
            &["vm-build-01", "virtual machine", "eu-central-1"],
        ),
        (Kind::ResourceRemoved, &["vm-build-01", "not have"]),
        (
            Kind::OrderPlaced,
            &[
                "2 x Stoneware mug, blue",
                "38.00 EUR",
                "64.00 EUR",
                "12 Analytical Row",
            ],
        ),
        (
            Kind::OrderConfirmed,
            &[
                "is paid",
                "Kiln & Loom",
                "Total 64.00 EUR",
                "12 Analytical Row",
            ],
        ),
        (
            Kind::OrderCancelled,
            &["cancelled", "sold out", "Stoneware mug, blue", "comes back"],
        ),
        (Kind::RefundPending, &["giving you back 64.00 EUR"]),
        (Kind::Refunded, &["have given you back 64.00 EUR"]),
        (Kind::OrderReady, &["prepared", "4 x Linen napkin"]),
        (
            Kind::OrderOnItsWay,
            &["on its way", "12 Analytical Row", "+49 30 901820"],
        ),
        (Kind::OrderDelivered, &["handed over"]),
        (Kind::LowStock, &["3 units", "MUG-BLUE", "Threshold: 5"]),
        (
            Kind::SagaNeedsOperator,
            &[
                "cannot go on by itself",
                "refund_refused",
                "Step: refund",
                "/v1/sagas/",
            ],
        ),
        (Kind::WebhookDisabled, &["Kiln & Loom", "gone"]),
    ] {
        let content = rendered(kind);
        for fact in facts {
            assert!(
                content.text.contains(fact),
                "{}: {fact} in\n{}",
                kind.as_str(),
                content.text
            );
        }
    }
}

#[test]
fn every_reason_of_a_cancellation_has_words_of_its_own() {
    let mut said = std::collections::BTreeSet::new();
    for reason in [
        CancelReason::PaymentDeclined,
        CancelReason::PaymentExpired,
        CancelReason::OutOfStock,
        CancelReason::CustomerCancelled,
        CancelReason::OperatorAborted,
    ] {
        let facts = Facts {
            reason: Some(reason),
            ..Facts::sample()
        };
        said.insert(render(Kind::OrderCancelled, &facts).short);
    }
    assert_eq!(said.len(), 5);
}

/// Facts in which everything that people can write is an attack.
fn hostile() -> Facts {
    let attack = |what: &str| {
        Some(format!(
            "<script>alert('{what}')</script>\"onload=x\r\nBcc: eve@example.org\u{202e}&amp;"
        ))
    };
    let mut facts = Facts {
        recipient_name: attack("recipient"),
        customer_name: attack("customer"),
        detail: attack("detail"),
        step: attack("step"),
        cause: attack("cause"),
        delivery_address: attack("address"),
        phone: attack("phone"),
        pickup_address: attack("pickup"),
        partner_title: attack("partner"),
        product_name: attack("product"),
        product_sku: attack("sku"),
        resource_name: attack("resource"),
        resource_kind: attack("kind"),
        resource_region: attack("region"),
        shop_name: attack("shop").unwrap(),
        ..Facts::sample()
    };
    facts.lines[0].name = attack("line").unwrap();
    facts
}

#[test]
fn nothing_that_somebody_wrote_becomes_markup_a_header_or_a_line_of_its_own() {
    for kind in Kind::ALL {
        let content = render(kind, &hostile());
        let name = kind.as_str();
        let tags = |html: &str| html.matches('<').count();
        assert_eq!(
            tags(&content.html),
            tags(&rendered(kind).html),
            "{name}: {}",
            content.html
        );
        assert!(!content.html.contains("<script"), "{name}");
        for form in [&content.subject, &content.short] {
            assert!(!form.contains(char::is_control), "{name}: {form:?}");
        }
        for line in content.text.lines() {
            assert!(!line.starts_with("Bcc:"), "{name}: {line}");
        }
        for form in [&content.text, &content.html, &content.short] {
            assert!(!form.contains('\u{202e}'), "{name}");
        }
        assert!(content.short.chars().count() <= SHORT_CHARS_MAX, "{name}");
    }
}

#[test]
fn what_was_erased_is_left_out_without_a_gap() {
    for kind in Kind::ALL {
        let content = render(kind, &Facts::default());
        let name = kind.as_str();
        assert!(content.text.starts_with("Waybill\n"), "{name}");
        assert!(content.text.contains("\nHello,\n"), "{name}");
        assert!(!content.text.contains("\n\n\n"), "{name}");
        assert!(
            !content.subject.is_empty() && !content.short.is_empty(),
            "{name}"
        );
    }
}

#[test]
fn a_partners_system_is_told_what_to_prepare_in_its_own_form() {
    let data = rendered(Kind::OrderPrepare).data;
    let mut fields: Vec<_> = data.as_object().unwrap().keys().collect();
    fields.sort();
    assert_eq!(fields, ["delivery_address", "lines", "order_id", "phone"]);
    assert_eq!(data["lines"][0]["sku"], "MUG-BLUE");
    assert_eq!(data["lines"][1]["quantity"], 4);
}

#[test]
fn an_order_without_end_is_a_message_with_one() {
    let mut facts = Facts::sample();
    facts.lines = vec![facts.lines[0].clone(); 10_000];
    facts.lines[0].name = "x".repeat(100_000);
    let content = render(Kind::OrderPlaced, &facts);
    assert!(content.html.len() < 64 * 1024, "{}", content.html.len());
}
