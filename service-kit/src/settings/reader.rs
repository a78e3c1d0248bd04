//! Reads single settings and remembers every one that cannot be used.

use std::path::Path;
use std::time::Duration;

use super::InvalidSetting;
use super::values::{parse_duration, read_secret_file};

/// Reads values and remembers which of them cannot be used.
#[derive(Default)]
pub(super) struct Reader {
    pub(super) invalid: Vec<InvalidSetting>,
}

impl Reader {
    pub(super) fn refuse(&mut self, name: &'static str, why: impl Into<String>) {
        self.invalid.push(InvalidSetting {
            name,
            why: why.into(),
        });
    }

    /// An empty variable counts as one that is not set, as compose files and unit files write it.
    pub(super) fn optional<T>(
        &mut self,
        name: &'static str,
        text: Option<&str>,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = text.map(str::trim).filter(|text| !text.is_empty())?;
        match parse(text) {
            Ok(value) => Some(value),
            Err(why) => {
                self.refuse(name, why);
                None
            }
        }
    }

    pub(super) fn value<T>(
        &mut self,
        name: &'static str,
        text: Option<&str>,
        default: T,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> T {
        self.optional(name, text, parse).unwrap_or(default)
    }

    pub(super) fn duration(
        &mut self,
        name: &'static str,
        text: Option<&str>,
        default: Duration,
    ) -> Duration {
        self.value(name, text, default, |text| {
            parse_duration(text).and_then(|duration| {
                if duration.is_zero() {
                    Err("must be longer than nothing".to_owned())
                } else {
                    Ok(duration)
                }
            })
        })
    }

    pub(super) fn secret(
        &mut self,
        name: &'static str,
        text: Option<&str>,
        file: Option<&Path>,
    ) -> Option<String> {
        let text = text.filter(|text| !text.is_empty());
        let file = file.filter(|file| !file.as_os_str().is_empty());
        match (text, file) {
            (Some(_), Some(_)) => {
                self.refuse(
                    name,
                    format!("is set together with {name}_FILE; set one of them"),
                );
                None
            }
            (Some(text), None) => Some(text.to_owned()),
            (None, Some(file)) => match read_secret_file(file) {
                Ok(text) => Some(text),
                Err(why) => {
                    self.refuse(name, why);
                    None
                }
            },
            (None, None) => None,
        }
    }
}
