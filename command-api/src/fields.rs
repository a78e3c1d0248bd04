//! What the fields of commands may hold. Every check notes its complaint with a JSON pointer, so that the caller hears
//! of all of them at once.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Uri;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::{KnownFormat, RefOr, SchemaFormat};
use utoipa::{PartialSchema, ToSchema};

use domain::notification::quiet;
use event_schema::notification::QuietHours;
use event_schema::{Currency, Money};
use service_kit::Validation;

/// Names, titles, brands and categories.
pub(crate) const NAME_CHARS_MAX: usize = 200;
/// Descriptions.
pub(crate) const TEXT_CHARS_MAX: usize = 4_000;
/// Addresses.
pub(crate) const ADDRESS_CHARS_MAX: usize = 500;
/// Reasons that people give.
pub(crate) const REASON_CHARS_MAX: usize = 500;
/// SKUs.
pub(crate) const SKU_CHARS_MAX: usize = 100;
/// Where pushed messages go: tokens of the large services have a few hundred characters, a browser's subscription more.
pub(crate) const PUSH_TOKEN_CHARS_MAX: usize = 2_048;
/// An uncompressed point of P-256 (RFC 8291).
const P256_POINT_BYTES: usize = 65;
/// The secret of a subscription (RFC 8291).
const WEB_PUSH_AUTH_BYTES: usize = 16;
/// Nobody who lives was born before this year.
const BIRTH_YEAR_MIN: i16 = 1900;
/// RFC 5321.
const EMAIL_CHARS_MAX: usize = 254;
const EMAIL_LOCAL_CHARS_MAX: usize = 64;
const PHONE_CHARS_MAX: usize = 32;
/// E.164 has at most 15 digits; no public network has fewer than 3.
const PHONE_DIGITS: std::ops::RangeInclusive<usize> = 3..=15;
const URL_CHARS_MAX: usize = 2_048;
/// One unit's price in minor units; with 50 lines of 10 000 units a total still fits 64 bits with room.
const PRICE_MINOR_MAX: i64 = 1_000_000_000_000;
/// Units of one receive, adjustment or threshold.
pub(crate) const UNITS_MAX: i64 = 1_000_000_000;

/// A text of one line: trimmed, not empty, bounded, without control characters.
pub(crate) fn line(
    validation: &mut Validation,
    pointer: &str,
    text: &str,
    max_chars: usize,
) -> String {
    let trimmed = text.trim();
    if trimmed.is_empty() {
        validation.add(pointer, "required", "this must not be empty");
    } else if trimmed.chars().count() > max_chars {
        validation.add(
            pointer,
            "too_long",
            format!("this has at most {max_chars} characters"),
        );
    } else if trimmed.chars().any(char::is_control) {
        validation.add(pointer, "invalid", "this must not have control characters");
    }
    trimmed.to_owned()
}

/// As [`line`], where nothing is fine too; an empty text is nothing.
pub(crate) fn optional_line(
    validation: &mut Validation,
    pointer: &str,
    text: Option<&str>,
    max_chars: usize,
) -> Option<String> {
    let text = text.filter(|text| !text.trim().is_empty())?;
    Some(line(validation, pointer, text, max_chars))
}

/// A text of several lines, where nothing is fine too.
pub(crate) fn optional_text(
    validation: &mut Validation,
    pointer: &str,
    text: Option<&str>,
    max_chars: usize,
) -> Option<String> {
    let trimmed = text.map(str::trim).filter(|text| !text.is_empty())?;
    if trimmed.chars().count() > max_chars {
        validation.add(
            pointer,
            "too_long",
            format!("this has at most {max_chars} characters"),
        );
    } else if trimmed
        .chars()
        .any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
    {
        validation.add(pointer, "invalid", "this must not have control characters");
    }
    Some(trimmed.to_owned())
}

/// An address of several lines.
pub(crate) fn address(validation: &mut Validation, pointer: &str, text: &str) -> String {
    optional_text(validation, pointer, Some(text), ADDRESS_CHARS_MAX).unwrap_or_else(|| {
        validation.add(pointer, "required", "this must not be empty");
        String::new()
    })
}

/// An e-mail address: enough of the form to catch slips; whether it exists, only a letter can tell.
pub(crate) fn email(validation: &mut Validation, pointer: &str, text: &str) -> String {
    let trimmed = text.trim();
    let plausible = trimmed.chars().count() <= EMAIL_CHARS_MAX
        && !trimmed
            .chars()
            .any(|c| c.is_whitespace() || c.is_control() || matches!(c, '<' | '>' | ',' | ';'))
        && trimmed.rsplit_once('@').is_some_and(|(local, domain)| {
            let labels: Vec<&str> = domain.split('.').collect();
            !local.is_empty()
                && local.chars().count() <= EMAIL_LOCAL_CHARS_MAX
                && !local.contains('@')
                && labels.len() >= 2
                && labels.iter().all(|label| is_domain_label(label))
        });
    if !plausible {
        validation.add(pointer, "invalid", "this is not an e-mail address");
    }
    trimmed.to_owned()
}

fn is_domain_label(label: &str) -> bool {
    !label.is_empty()
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.chars().all(|c| c.is_alphanumeric() || c == '-')
}

/// The form under which two spellings of one address are the same.
pub(crate) fn normalised_email(email: &str) -> String {
    email.trim().to_lowercase()
}

/// The form under which two spellings of one SKU are the same.
pub(crate) fn normalised_sku(sku: &str) -> String {
    sku.trim().to_uppercase()
}

/// A telephone number as people write it.
pub(crate) fn phone(validation: &mut Validation, pointer: &str, text: &str) -> String {
    let trimmed = text.trim();
    let digits = trimmed.chars().filter(char::is_ascii_digit).count();
    let only_known = trimmed.chars().enumerate().all(|(at, c)| {
        c.is_ascii_digit()
            || matches!(c, ' ' | '-' | '.' | '/' | '(' | ')')
            || (c == '+' && at == 0)
    });
    if !only_known || !PHONE_DIGITS.contains(&digits) || trimmed.chars().count() > PHONE_CHARS_MAX {
        validation.add(pointer, "invalid", "this is not a telephone number");
    }
    trimmed.to_owned()
}

/// The day on which a command is decided.
pub(crate) fn today(now: Timestamp) -> Date {
    now.to_zoned(TimeZone::UTC).date()
}

/// A day of birth, as `YYYY-MM-DD`.
pub(crate) fn birth_date(
    validation: &mut Validation,
    pointer: &str,
    text: &str,
    today: Date,
) -> String {
    let day = text
        .trim()
        .parse::<Date>()
        .ok()
        .filter(|day| day.to_string() == text.trim());
    if day.is_none_or(|day| day.year() < BIRTH_YEAR_MIN || day > today) {
        validation.add(
            pointer,
            "invalid",
            "this is not a day of birth of the form 1990-12-31",
        );
    }
    text.trim().to_owned()
}

/// An address on the web, `http` or `https`, without a user in it.
pub(crate) fn web_address(
    validation: &mut Validation,
    pointer: &str,
    text: Option<&str>,
) -> Option<String> {
    let trimmed = text.map(str::trim).filter(|text| !text.is_empty())?;
    let acceptable = trimmed.len() <= URL_CHARS_MAX
        && trimmed.parse::<Uri>().is_ok_and(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https"))
                && uri.host().is_some_and(|host| !host.is_empty())
                && uri
                    .authority()
                    .is_some_and(|authority| !authority.as_str().contains('@'))
        });
    if !acceptable {
        validation.add(
            pointer,
            "invalid",
            "this is not an address of the form https://host/path",
        );
    }
    Some(trimmed.to_owned())
}

/// A browser's subscription to pushed messages, as `PushSubscription.toJSON()` gives it.
#[derive(Debug, Deserialize)]
struct WebPush {
    endpoint: String,
    keys: WebPushKeys,
}

#[derive(Debug, Deserialize)]
struct WebPushKeys {
    p256dh: String,
    auth: String,
}

/// Where pushed messages reach a person: the token of a device, or a browser's subscription as JSON; nothing is fine too.
pub(crate) fn push_token(
    validation: &mut Validation,
    pointer: &str,
    text: Option<&str>,
) -> Option<String> {
    let token = optional_line(validation, pointer, text, PUSH_TOKEN_CHARS_MAX)?;
    if token.starts_with('{')
        && let Err(why) = web_push(&token)
    {
        validation.add(
            pointer,
            "invalid",
            format!("this is no subscription to Web Push: {why}"),
        );
    }
    Some(token)
}

/// What is wrong with a subscription, if anything is.
fn web_push(text: &str) -> Result<(), String> {
    let WebPush { endpoint, keys } =
        serde_json::from_str(text).map_err(|error| error.to_string())?;
    let https = endpoint.parse::<Uri>().is_ok_and(|uri| {
        uri.scheme_str() == Some("https")
            && uri
                .authority()
                .is_some_and(|authority| !authority.as_str().contains('@'))
    });
    if !https {
        return Err("`endpoint` is not an address of the form https://host/path".into());
    }
    let decoded = |text: &str| URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok();
    if !decoded(&keys.p256dh)
        .is_some_and(|key| key.len() == P256_POINT_BYTES && key.first() == Some(&4))
    {
        return Err("`keys.p256dh` is not a public key in base64url".into());
    }
    if decoded(&keys.auth).is_none_or(|auth| auth.len() != WEB_PUSH_AUTH_BYTES) {
        return Err("`keys.auth` is not 16 bytes in base64url".into());
    }
    Ok(())
}

/// A time of day during which somebody is not told anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct QuietHoursBody {
    /// From this time of day on.
    #[schema(max_length = 5, example = "22:00")]
    pub(crate) from: String,
    /// To this time of day; it may be the next morning.
    #[schema(max_length = 5, example = "07:00")]
    pub(crate) to: String,
    /// IANA name of the time zone that both are meant in.
    #[schema(max_length = 64, example = "Europe/Berlin")]
    pub(crate) time_zone: String,
}

impl From<QuietHours> for QuietHoursBody {
    fn from(hours: QuietHours) -> Self {
        let QuietHours {
            from,
            until: to,
            time_zone,
        } = hours;
        Self {
            from,
            to,
            time_zone,
        }
    }
}

impl From<QuietHoursBody> for QuietHours {
    fn from(body: QuietHoursBody) -> Self {
        let QuietHoursBody {
            from,
            to: until,
            time_zone,
        } = body;
        Self {
            from,
            until,
            time_zone,
        }
    }
}

/// Quiet hours that mean something.
pub(crate) fn quiet_hours(
    validation: &mut Validation,
    pointer: &str,
    body: &QuietHoursBody,
) -> QuietHours {
    let hours = QuietHours {
        from: body.from.trim().to_owned(),
        until: body.to.trim().to_owned(),
        time_zone: body.time_zone.trim().to_owned(),
    };
    if let Err(why) = quiet::check(&hours) {
        let member = match why {
            quiet::Invalid::TimeZone => "time_zone",
            quiet::Invalid::Time if !is_time_of_day(&hours.from) => "from",
            quiet::Invalid::Time | quiet::Invalid::Empty => "to",
        };
        validation.add(format!("{pointer}/{member}"), "invalid", why.to_string());
    }
    hours
}

fn is_time_of_day(text: &str) -> bool {
    let other = if text == "00:00" { "00:01" } else { "00:00" };
    let hours = QuietHours {
        from: text.to_owned(),
        until: other.to_owned(),
        time_zone: "UTC".to_owned(),
    };
    quiet::check(&hours).is_ok()
}

/// A price or a cost; `least` is 1 for what is paid and 0 for what may be free.
pub(crate) fn money(
    validation: &mut Validation,
    pointer: &str,
    price: &Price,
    least: i64,
) -> Option<Money> {
    let amount = price.amount.0;
    let in_range = (i128::from(least)..=i128::from(PRICE_MINOR_MAX)).contains(&amount);
    if !in_range {
        validation.add(
            format!("{pointer}/amount"),
            "out_of_range",
            format!("an amount in minor units is between {least} and {PRICE_MINOR_MAX}"),
        );
    }
    let currency: Option<Currency> =
        validation.check(format!("{pointer}/currency"), price.currency.parse());
    Some(Money::new(
        i64::try_from(amount).ok().filter(|_| in_range)?,
        currency?,
    ))
}

/// A count of units within limits; complains with the published code.
pub(crate) fn units(
    validation: &mut Validation,
    pointer: &str,
    count: WholeNumber,
    range: std::ops::RangeInclusive<i64>,
) -> Option<i64> {
    let value = i64::try_from(count.0)
        .ok()
        .filter(|value| range.contains(value));
    if value.is_none() {
        validation.refuse(
            pointer,
            "quantity_out_of_range",
            format!(
                "this is a whole number between {} and {}",
                range.start(),
                range.end()
            ),
        );
    }
    value
}

/// For changes: tells a field that is not there (`None`: stays as it is) from one that is null (`Some(None)`: goes away).
pub(crate) fn nullable<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// As [`nullable`], for quiet hours.
pub(crate) fn nullable_hours<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<QuietHoursBody>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Money as it is sent: not looked at yet.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct Price {
    /// Minor units: 1999 is 19.99 euro.
    #[schema(example = 1999)]
    pub(crate) amount: WholeNumber,
    /// ISO 4217 code.
    #[schema(example = "EUR")]
    pub(crate) currency: String,
}

/// Money as it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Money)]
pub(crate) struct MoneyBody {
    /// Minor units.
    pub(crate) amount: i64,
    /// ISO 4217 code.
    #[schema(value_type = String, example = "EUR")]
    pub(crate) currency: Currency,
}

impl From<Money> for MoneyBody {
    fn from(money: Money) -> Self {
        Self {
            amount: money.amount,
            currency: money.currency,
        }
    }
}

/// A whole number of any size, so that one that is far too large is told to be out of range and not unreadable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WholeNumber(pub(crate) i128);

impl Serialize for WholeNumber {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Only for the hash of a command, where text is as good as a number.
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for WholeNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Numbers;

        impl Visitor<'_> for Numbers {
            type Value = WholeNumber;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number")
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<WholeNumber, E> {
                Ok(WholeNumber(value.into()))
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<WholeNumber, E> {
                Ok(WholeNumber(value.into()))
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<WholeNumber, E> {
                // JSON numbers beyond 64 bits arrive here; the conversion saturates, and no range reaches that far.
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "saturates; only used to say: out of range"
                )]
                let whole = value as i128;
                if value.is_finite() && value.fract() == 0.0 {
                    Ok(WholeNumber(whole))
                } else {
                    Err(E::custom("not a whole number"))
                }
            }
        }

        deserializer.deserialize_any(Numbers)
    }
}

impl PartialSchema for WholeNumber {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::Integer)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
            .into()
    }
}

impl ToSchema for WholeNumber {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("WholeNumber")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn complaints(check: impl FnOnce(&mut Validation)) -> Vec<String> {
        let mut validation = Validation::new();
        check(&mut validation);
        match validation.finish() {
            Ok(()) => Vec::new(),
            Err(problem) => problem
                .body()
                .errors
                .iter()
                .map(|error| error.code.to_string())
                .collect(),
        }
    }

    #[test]
    fn a_device_or_a_browser_can_be_reached_and_what_is_neither_is_refused() {
        let told = |token: &str| complaints(|v| drop(push_token(v, "/push_token", Some(token))));
        let key = URL_SAFE_NO_PAD.encode([&[4][..], &[7; 64]].concat());
        let auth = URL_SAFE_NO_PAD.encode([9; 16]);
        let browser = |endpoint: &str, key: &str, auth: &str| {
            let keys = json!({"p256dh": key, "auth": auth});
            told(&json!({"endpoint": endpoint, "expirationTime": null, "keys": keys}).to_string())
        };
        let there = "https://push.example/send/1";
        assert!(told("fcm:d1Xk2mQ9").is_empty());
        assert!(told("  ").is_empty());
        assert!(browser(there, &key, &auth).is_empty());
        assert!(browser(there, &format!("{key}="), &format!("{auth}==")).is_empty());
        for (endpoint, key, auth) in [
            ("http://push.example/send/1", key.as_str(), auth.as_str()),
            ("https://me@push.example/", &key, &auth),
            ("push.example", &key, &auth),
            (there, &key[4..], &auth),
            (there, &key.replacen('B', "C", 1), &auth),
            (there, &key, &auth[2..]),
            (there, &key, "not base64!"),
        ] {
            assert_eq!(
                browser(endpoint, key, auth),
                ["invalid"],
                "{endpoint} {key} {auth}"
            );
        }
        for bad in ["{", "{}", r#"{"endpoint":1}"#] {
            assert_eq!(told(bad), ["invalid"], "{bad}");
        }
        assert_eq!(told(&"x".repeat(PUSH_TOKEN_CHARS_MAX + 1)), ["too_long"]);
    }

    #[test]
    fn quiet_hours_that_mean_nothing_are_refused_by_the_member_that_is_wrong() {
        let wrong = |from: &str, to: &str, zone: &str| {
            let body = QuietHoursBody {
                from: from.into(),
                to: to.into(),
                time_zone: zone.into(),
            };
            let mut validation = Validation::new();
            quiet_hours(&mut validation, "/quiet_hours", &body);
            validation
                .finish()
                .map_err(|problem| problem.body().errors[0].pointer.clone())
        };
        assert_eq!(wrong("22:00", "07:00", "Europe/Berlin"), Ok(()));
        assert_eq!(wrong("00:00", "07:00", "UTC"), Ok(()));
        for (from, to, zone, pointer) in [
            ("late", "07:00", "UTC", "/quiet_hours/from"),
            ("22:00", "24:61", "UTC", "/quiet_hours/to"),
            ("22:00", "22:00", "UTC", "/quiet_hours/to"),
            ("22:00", "07:00", "Moon/Crater", "/quiet_hours/time_zone"),
        ] {
            assert_eq!(
                wrong(from, to, zone),
                Err(pointer.to_owned()),
                "{from} {to} {zone}"
            );
        }
    }

    #[test]
    fn addresses_that_people_have_are_accepted_and_slips_are_not() {
        for good in [
            "ada@example.org",
            " Ada.Lovelace+shop@mail.example.co.uk ",
            "ü@exämple.org",
        ] {
            assert!(
                complaints(|v| {
                    email(v, "/email", good);
                })
                .is_empty(),
                "{good}"
            );
        }
        for bad in [
            "",
            "ada",
            "ada@",
            "@example.org",
            "ada@example",
            "a b@example.org",
            "a@b@example.org",
            "a@-x.org",
            "a@x..org",
        ] {
            assert_eq!(
                complaints(|v| {
                    email(v, "/email", bad);
                }),
                ["invalid"],
                "{bad}"
            );
        }
    }

    #[test]
    fn two_spellings_of_one_address_are_the_same() {
        assert_eq!(
            normalised_email(" Ada@Example.ORG "),
            normalised_email("ada@example.org")
        );
        assert_eq!(normalised_sku(" mug-1 "), normalised_sku("MUG-1"));
    }

    #[test]
    fn telephone_numbers_are_taken_as_people_write_them() {
        for good in ["+49 (30) 123-456", "112", "0171/5550100"] {
            assert!(
                complaints(|v| {
                    phone(v, "/phone", good);
                })
                .is_empty(),
                "{good}"
            );
        }
        for bad in ["", "call me", "12", "1234567890123456", "49+30123"] {
            assert_eq!(
                complaints(|v| {
                    phone(v, "/phone", bad);
                }),
                ["invalid"],
                "{bad}"
            );
        }
    }

    #[test]
    fn web_addresses_are_http_or_https_without_a_user() {
        for good in [
            "https://shop.example/hook?x=1",
            "http://127.0.0.1:9000/hook",
        ] {
            assert!(
                complaints(|v| {
                    web_address(v, "/url", Some(good));
                })
                .is_empty(),
                "{good}"
            );
        }
        for bad in [
            "ftp://x.example/",
            "javascript:alert(1)",
            "https://",
            "/hook",
            "https://me:pw@x.example/",
        ] {
            assert_eq!(
                complaints(|v| {
                    web_address(v, "/url", Some(bad));
                }),
                ["invalid"],
                "{bad}"
            );
        }
    }

    #[test]
    fn huge_numbers_are_out_of_range_and_fractions_unreadable() {
        let huge: WholeNumber = serde_json::from_str("123456789012345678901234567890").unwrap();
        let complaint = complaints(|v| {
            units(v, "/quantity", huge, 1..=10_000);
        });
        assert_eq!(complaint, ["quantity_out_of_range"]);
        assert!(serde_json::from_str::<WholeNumber>("1.5").is_err());
        assert!(serde_json::from_str::<WholeNumber>("\"1\"").is_err());
        assert_eq!(
            serde_json::from_str::<WholeNumber>("-3").unwrap(),
            WholeNumber(-3)
        );
    }

    #[test]
    fn a_price_needs_an_amount_in_range_and_a_currency_that_exists() {
        let price = |amount, currency: &str| Price {
            amount: WholeNumber(amount),
            currency: currency.into(),
        };
        let mut validation = Validation::new();
        assert_eq!(
            money(&mut validation, "/price", &price(5, "EUR"), 1),
            Some(Money::new(5, Currency::EUR))
        );
        for bad in [
            price(0, "EUR"),
            price(-1, "EUR"),
            price(i128::MAX, "EUR"),
            price(5, "EURO"),
            price(5, "eur"),
        ] {
            assert_eq!(
                complaints(|v| {
                    money(v, "/price", &bad, 1);
                })
                .len(),
                1,
                "{bad:?}"
            );
        }
    }
}
