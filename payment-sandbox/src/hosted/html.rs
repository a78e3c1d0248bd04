//! The text of the hosted pages. Whatever comes from outside is escaped where it is put in.

use std::fmt::Write;

use crate::{intent::Intent, session::Session};

/// A whole HTML document.
pub(super) struct Page(pub(super) String);

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:34rem;margin:3rem auto;padding:0 1rem;color:#222}\
    table{width:100%;border-collapse:collapse}td{padding:.3rem 0;border-bottom:1px solid #ddd}\
    td:last-child{text-align:right}tfoot td{font-weight:600;border:0}\
    button,.away{display:block;width:100%;box-sizing:border-box;margin:.6rem 0;padding:.7rem;font:inherit;border-radius:.4rem;\
    border:1px solid #888;background:#f4f4f4;color:#222;text-align:center;text-decoration:none;cursor:pointer}\
    button.go{background:#1d5fbf;border-color:#1d5fbf;color:#fff}.alert{padding:.7rem;background:#fde8e8;border-radius:.4rem}\
    .note{color:#666;font-size:.9rem}";

/// The cards to choose from, with what each will do.
const CARDS: [(&str, &str, bool); 4] = [
    ("pm_card_visa", "Pay with a good card", true),
    (
        "pm_card_visa_chargeDeclined",
        "Pay with a card that is declined",
        false,
    ),
    (
        "pm_card_chargeDeclinedInsufficientFunds",
        "Pay with a card without enough money",
        false,
    ),
    (
        "pm_card_authenticationRequired",
        "Pay with a card that asks for confirmation",
        false,
    ),
];

/// What is to be paid, and with what.
pub(super) fn pay(session: &Session, alert: Option<&str>) -> Page {
    let mut body = String::from("<h1>Pay your order</h1>");
    if let Some(alert) = alert {
        // Writing to a text cannot fail.
        let _ = write!(
            body,
            "<p class=\"alert\" role=\"alert\">{} You can try another card.</p>",
            escaped(alert)
        );
    }
    lines(&mut body, session);
    for (token, label, preferred) in CARDS {
        let class = if preferred { " class=\"go\"" } else { "" };
        let _ = write!(
            body,
            "<form method=\"post\" action=\"\"><button name=\"token\" value=\"{token}\"{class}>{label}</button></form>"
        );
    }
    if let Some(url) = &session.cancel_url {
        let _ = write!(
            body,
            "<a class=\"away\" href=\"{}\">Go away without paying</a>",
            escaped(url)
        );
    }
    body.push_str("<p class=\"note\">This is a sandbox: no real card and no real money.</p>");
    document("Pay your order", &body)
}

/// The page of a session that was paid before.
pub(super) fn already_paid(session: &Session) -> Page {
    document(
        "Paid",
        &format!(
            "<h1>This order is paid</h1><p><a class=\"away\" href=\"{}\">Back to the shop</a></p>",
            escaped(&session.success_url())
        ),
    )
}

/// The page of a session that can no longer be paid.
pub(super) fn expired(session: &Session) -> Page {
    let back = session.cancel_url.as_ref().map(|url| {
        format!(
            "<p><a class=\"away\" href=\"{}\">Back to the shop</a></p>",
            escaped(url)
        )
    });
    document(
        "Expired",
        &format!(
            "<h1>The time to pay is over</h1><p>Nothing was charged.</p>{}",
            back.unwrap_or_default()
        ),
    )
}

/// What an issuer asks its customer.
pub(super) fn confirm(intent: &Intent) -> Page {
    document(
        "Confirm the payment",
        &format!(
            "<h1>Confirm the payment</h1><p>Your bank asks: do you want to pay <strong>{}</strong>?</p>\
             <form method=\"post\" action=\"\"><button class=\"go\" name=\"answer\" value=\"confirm\">Confirm</button>\
             <button name=\"answer\" value=\"refuse\">Refuse</button></form>\
             <p class=\"note\">This is a sandbox: no real card and no real money.</p>",
            money(intent.amount, &intent.currency)
        ),
    )
}

/// The page of an intent that waits for nobody.
pub(super) fn nothing_to_confirm(return_url: Option<&str>) -> Page {
    let back = return_url
        .map(|url| {
            format!(
                "<p><a class=\"away\" href=\"{}\">Back to the shop</a></p>",
                escaped(url)
            )
        })
        .unwrap_or_default();
    document(
        "Nothing to confirm",
        &format!("<h1>There is nothing to confirm</h1>{back}"),
    )
}

/// The end of a confirmation that has nowhere to return to.
pub(super) fn answered(approved: bool) -> Page {
    let (title, text) = match approved {
        true => ("Confirmed", "The payment goes on. You can close this page."),
        false => ("Refused", "Nothing was charged. You can close this page."),
    };
    message(title, text)
}

/// A heading and a sentence.
pub(super) fn message(title: &str, text: &str) -> Page {
    document(
        title,
        &format!("<h1>{}</h1><p>{}</p>", escaped(title), escaped(text)),
    )
}

fn lines(body: &mut String, session: &Session) {
    body.push_str("<table><tbody>");
    for item in &session.line_items.0 {
        let _ = write!(
            body,
            "<tr><td>{} × {}</td><td>{}</td></tr>",
            item.quantity,
            escaped(&item.name),
            money(
                item.unit_amount.saturating_mul(item.quantity),
                &session.currency
            )
        );
    }
    let _ = write!(
        body,
        "</tbody><tfoot><tr><td>Total</td><td>{}</td></tr></tfoot></table>",
        money(session.amount_total, &session.currency)
    );
}

/// `1999, eur` → `19.99 EUR`, with as many decimals as the currency has.
fn money(amount: i64, currency: &str) -> String {
    let decimals = match currency {
        "bif" | "clp" | "djf" | "gnf" | "jpy" | "kmf" | "krw" | "mga" | "pyg" | "rwf" | "ugx"
        | "vnd" | "vuv" | "xaf" | "xof" | "xpf" => 0,
        "bhd" | "jod" | "kwd" | "omr" | "tnd" => 3,
        _ => 2,
    };
    let unit = 10_i64.pow(decimals);
    let code = currency.to_ascii_uppercase();
    if decimals == 0 {
        return format!("{amount} {code}");
    }
    let width = usize::try_from(decimals).unwrap_or_default();
    format!("{}.{:0width$} {code}", amount / unit, amount % unit)
}

fn document(title: &str, body: &str) -> Page {
    Page(format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>{}</title><style>{STYLE}</style></head><body><main>{body}</main></body></html>",
        escaped(title)
    ))
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(char),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_has_the_decimals_of_its_currency() {
        assert_eq!(money(1999, "eur"), "19.99 EUR");
        assert_eq!(money(5, "usd"), "0.05 USD");
        assert_eq!(money(500, "jpy"), "500 JPY");
        assert_eq!(money(1_234, "kwd"), "1.234 KWD");
    }

    #[test]
    fn text_from_outside_cannot_become_markup() {
        assert_eq!(
            escaped("<a href=\"x\">'&"),
            "&lt;a href=&quot;x&quot;&gt;&#39;&amp;"
        );
    }
}
