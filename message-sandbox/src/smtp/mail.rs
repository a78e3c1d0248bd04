//! A mail's text, as its reader sees it.

use std::collections::BTreeMap;

use mail_parser::{MessageParser, MimeHeaders, PartType};

use crate::message::{Message, Via};

/// Headers that are kept beside what is shown of them.
const KEPT: [&str; 7] = [
    "From",
    "To",
    "Date",
    "Message-ID",
    "Reply-To",
    "Waybill-Order",
    "Auto-Submitted",
];

/// None when it is no mail. Whom it is from and for is what the envelope says.
pub(super) fn read(bytes: &[u8], from: &str, to: &str) -> Option<Message> {
    let mail = MessageParser::new().parse(bytes)?;
    let mut headers = BTreeMap::new();
    for name in KEPT {
        if let Some(value) = mail.header_raw(name) {
            headers.insert(name.to_owned(), value.trim().to_owned());
        }
    }
    // The parser makes HTML of text and text of HTML; what is shown is what was sent.
    let part = |html: bool| {
        mail.parts.iter().find_map(|part| match &part.body {
            PartType::Text(text) if !html && part.attachment_name().is_none() => {
                Some(text.clone().into_owned())
            }
            PartType::Html(text) if html => Some(text.clone().into_owned()),
            _ => None,
        })
    };
    Some(Message {
        from: Some(from.to_owned()),
        subject: mail.subject().map(str::to_owned),
        text: part(false),
        html: part(true),
        headers,
        ..Message::new(Via::Smtp, to)
    })
}
