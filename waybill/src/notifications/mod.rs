//! `waybill notifications`: what people are told, to look at before they are, and the key that browsers subscribe with.

mod replay;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use anyhow::{Context, bail};
use event_schema::notification::Kind;
use notifier::port::Content;
use notifier::templates::{Facts, render, shop_name};
use service_kit::Settings;
use service_kit::push_key::PushKey;

use crate::cli::{PreviewArgs, PreviewForm};
use crate::out;

pub use replay::replay;

/// A form of a message: the end of its file's name, and what of it is shown.
struct Form {
    ending: &'static str,
    shown: fn(&Content) -> String,
}

const TEXT: Form = Form {
    ending: "txt",
    shown: |content| format!("Subject: {}\n\n{}", content.subject, content.text),
};
const HTML: Form = Form {
    ending: "html",
    shown: |content| content.html.clone(),
};
const SHORT: Form = Form {
    ending: "short.txt",
    shown: |content| content.short.clone(),
};

/// Prints messages, or writes them into a folder.
pub fn preview(settings: &Settings, args: &PreviewArgs) -> anyhow::Result<()> {
    let kinds = match &args.kind {
        Some(name) => vec![kind(name)?],
        None => Kind::ALL.to_vec(),
    };
    let facts = Facts {
        public_url: settings.public_url.clone(),
        shop_name: shop_name(settings),
        ..Facts::sample()
    };
    for kind in kinds {
        let content = render(kind, &facts);
        for form in forms(&args.form, args.out.is_some()) {
            let shown = (form.shown)(&content);
            match &args.out {
                Some(folder) => {
                    let file = folder.join(format!("{}.{}", kind.as_str(), form.ending));
                    fs::create_dir_all(folder)
                        .and_then(|()| fs::write(&file, shown))
                        .with_context(|| format!("{} cannot be written", file.display()))?;
                    out::line(file.display().to_string());
                }
                None if args.kind.is_some() => out::line(shown.trim_end()),
                None => out::line(format!("== {}\n\n{}\n", kind.as_str(), shown.trim_end())),
            }
        }
    }
    Ok(())
}

fn kind(name: &str) -> anyhow::Result<Kind> {
    match Kind::ALL.into_iter().find(|kind| kind.as_str() == name) {
        Some(kind) => Ok(kind),
        None => {
            let known: Vec<_> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
            bail!(
                "`{name}` is nothing that anybody is told; there are: {}",
                known.join(", ")
            )
        }
    }
}

fn forms(asked: &PreviewForm, into_a_folder: bool) -> Vec<Form> {
    match asked {
        PreviewForm { html: true, .. } => vec![HTML],
        PreviewForm { short: true, .. } => vec![SHORT],
        PreviewForm { text: true, .. } => vec![TEXT],
        _ if into_a_folder => vec![TEXT, HTML, SHORT],
        _ => vec![TEXT],
    }
}

/// Prints the public half of the key that pushes to browsers are signed with, having made it if asked to.
pub fn push_key(settings: &Settings, new: Option<&Path>) -> anyhow::Result<()> {
    let key = match (new, &settings.webpush) {
        (Some(file), _) => {
            let key = PushKey::fresh()?;
            let mut options = OpenOptions::new();
            options.write(true).create_new(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            options
                .open(file)
                .and_then(|mut open| {
                    open.write_all(key.to_pem().map_err(std::io::Error::other)?.as_bytes())
                })
                .with_context(|| format!("{} cannot be made", file.display()))?;
            key
        }
        (None, Some(webpush)) => webpush.key.clone(),
        (None, None) => bail!("WAYBILL_WEBPUSH_KEY_FILE is not set; `--new FILE` makes a key"),
    };
    out::line(key.public_text());
    Ok(())
}
