//! How single values of settings are written.

use std::fs;
use std::net::Ipv6Addr;
use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;

use super::{AvatarPlace, CorsOrigins};

/// A secret is a line, not a document.
const MAX_SECRET_FILE_BYTES: u64 = 64 * 1024;
const MAX_INSTANCE_CHARS: usize = 64;
const UNITS: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

/// Reads `250ms`, `5s`, `15m`, `2h` or `7d`.
///
/// # Errors
/// Says how durations are written.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a duration such as 250ms, 5s, 15m, 2h or 7d");
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let (_, millis) = UNITS
        .into_iter()
        .find(|(name, _)| *name == unit)
        .ok_or_else(wrong)?;
    number
        .checked_mul(millis)
        .map(Duration::from_millis)
        .ok_or_else(wrong)
}

/// Writes a duration in the largest unit that gives a whole number.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    let (unit, size) = UNITS
        .into_iter()
        .rev()
        .find(|(_, size)| millis >= u128::from(*size) && millis.is_multiple_of(u128::from(*size)))
        .unwrap_or(("ms", 1));
    format!("{}{unit}", millis / u128::from(size))
}

pub(super) fn parse_switch(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        other => Err(format!("`{other}` is neither `on` nor `off`")),
    }
}

/// `all`, or networks separated by commas; a single address is a network of one.
pub(super) fn parse_nets(text: &str) -> Result<Option<Vec<IpNet>>, String> {
    if text == "all" {
        return Ok(None);
    }
    text.split(',')
        .map(str::trim)
        .map(|net| {
            net.parse::<IpNet>()
                .or_else(|_| net.parse::<std::net::IpAddr>().map(IpNet::from))
                .map_err(|_| {
                    format!("`{net}` is not a network such as 10.0.0.0/8 or 2001:db8::/32")
                })
        })
        .collect::<Result<Vec<_>, _>>()
        .map(Some)
}

/// `none`, or networks separated by commas. Everything is never one of them: that would be no guard at all.
pub(super) fn parse_allowed_nets(text: &str) -> Result<Vec<IpNet>, String> {
    if text == "none" {
        return Ok(Vec::new());
    }
    match parse_nets(text)? {
        Some(nets) if nets.iter().all(|net| net.prefix_len() > 0) => Ok(nets),
        _ => Err(format!(
            "`{text}` is everything; name the networks, such as 10.1.0.0/16, or none"
        )),
    }
}

/// `*`, or origins separated by commas.
pub(super) fn parse_origins(text: &str) -> Result<CorsOrigins, String> {
    if text == "*" {
        return Ok(CorsOrigins::Any);
    }
    text.split(',')
        .map(|origin| parse_origin(origin.trim()))
        .collect::<Result<_, _>>()
        .map(CorsOrigins::These)
}

/// An origin, which is compared letter by letter: whatever no browser sends would never be met.
fn parse_origin(text: &str) -> Result<String, String> {
    let wrong = || format!("`{text}` is not an origin such as https://shop.example");
    if text == "*" {
        return Err("`*` is every origin and stands alone".to_owned());
    }
    let uri: http::Uri = text.parse().map_err(|_| wrong())?;
    let (scheme, usual_port) = match uri.scheme_str() {
        Some("http") => ("http", 80),
        Some("https") => ("https", 443),
        _ => return Err(wrong()),
    };
    let host = uri.host().and_then(host_of_origin).ok_or_else(wrong)?;
    let port = match uri.port_u16().filter(|port| *port != usual_port) {
        Some(port) => format!(":{port}"),
        None => String::new(),
    };
    let origin = format!("{scheme}://{host}{port}");
    if origin == text.to_ascii_lowercase() {
        Ok(origin)
    } else {
        Err(format!(
            "`{text}` is not an origin as browsers send it, which is {origin}"
        ))
    }
}

/// A host as browsers write it, or none if it cannot be one.
fn host_of_origin(host: &str) -> Option<String> {
    if let Some(address) = host.strip_prefix('[') {
        let address: Ipv6Addr = address.strip_suffix(']')?.parse().ok()?;
        return Some(format!("[{address}]"));
    }
    let plain = host
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
    (plain && !host.is_empty()).then(|| host.to_ascii_lowercase())
}

/// An http or https address, without a slash at its end.
pub(super) fn parse_http_url(text: &str) -> Result<String, String> {
    let wrong = || format!("`{text}` is not of the form https://host");
    let uri: http::Uri = text.parse().map_err(|_| wrong())?;
    let web = matches!(uri.scheme_str(), Some("http" | "https"));
    if !web || uri.host().is_none_or(str::is_empty) || uri.query().is_some() {
        return Err(wrong());
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// A folder or a bucket; nothing secret belongs into it.
pub(super) fn parse_avatar_place(text: &str) -> Result<AvatarPlace, String> {
    let wrong = || format!("`{text}` is neither file:///folder nor s3://bucket/prefix");
    if let Some(folder) = text.strip_prefix("file://") {
        return match Path::new(folder) {
            folder if folder.is_absolute() => Ok(AvatarPlace::Folder(folder.to_owned())),
            _ => Err(wrong()),
        };
    }
    let plain = |rest: &str| {
        let bucket = rest.split('/').next().unwrap_or_default();
        !bucket.is_empty() && !rest.contains(['@', '?', '#', ':'])
    };
    match text.strip_prefix("s3://") {
        Some(rest) if plain(rest) => Ok(AvatarPlace::Bucket(text.trim_end_matches('/').to_owned())),
        _ => Err(wrong()),
    }
}

/// Instance names become part of subjects, headers and file names, so they are kept plain.
pub(super) fn parse_instance(text: &str) -> Result<String, String> {
    let plain = text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if plain && text.len() <= MAX_INSTANCE_CHARS {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "`{text}` is not a name of up to {MAX_INSTANCE_CHARS} letters, digits, `-` and `_`"
        ))
    }
}

/// `host-pid`, the host's name reduced to what an instance's name may contain.
pub(super) fn default_instance() -> String {
    let host = ["/proc/sys/kernel/hostname", "/etc/hostname"]
        .into_iter()
        .find_map(|file| fs::read_to_string(file).ok())
        .or_else(|| std::env::var("HOSTNAME").ok())
        .unwrap_or_default();
    let host: String = host
        .trim()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(MAX_INSTANCE_CHARS / 2)
        .collect();
    let host = host.trim_matches('-');
    let host = if host.is_empty() { "localhost" } else { host };
    format!("{host}-{}", std::process::id())
}

/// The content of a secret's file without the line end that editors add.
pub(super) fn read_secret_file(file: &Path) -> Result<String, String> {
    let shown = file.display();
    let size = fs::metadata(file)
        .map_err(|error| format!("cannot read {shown}: {error}"))?
        .len();
    if size > MAX_SECRET_FILE_BYTES {
        return Err(format!(
            "{shown} is larger than {MAX_SECRET_FILE_BYTES} bytes"
        ));
    }
    let text = fs::read_to_string(file).map_err(|error| format!("cannot read {shown}: {error}"))?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        return Err(format!("{shown} is empty"));
    }
    Ok(text.to_owned())
}

/// A URL with what stands between `//user:` and `@host` hidden.
pub(super) fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return super::HIDDEN.to_owned();
    };
    let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(authority_end);
    // Parameters may carry a password too (`?password=`).
    let tail = tail.split(['?', '#']).next().unwrap_or_default();
    match authority.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://{}@{host}{tail}", super::HIDDEN),
        None => format!("{scheme}://{authority}{tail}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_the_documentation_writes_them() {
        for (text, millis) in [
            ("250ms", 250),
            ("5s", 5_000),
            ("15m", 900_000),
            ("2h", 7_200_000),
            ("7d", 604_800_000),
        ] {
            let duration = parse_duration(text).unwrap();
            assert_eq!(duration.as_millis(), millis);
            assert_eq!(format_duration(duration), text);
        }
        assert_eq!(format_duration(Duration::from_millis(90_500)), "90500ms");
        assert_eq!(format_duration(Duration::ZERO), "0ms");
    }

    #[test]
    fn what_is_not_a_duration_is_refused() {
        for text in [
            "",
            "5",
            "s",
            "5 s",
            "-5s",
            "1.5s",
            "5S",
            "5m30s",
            "99999999999999999999d",
            "18446744073709551615d",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn networks_are_all_or_a_list_and_a_single_address_is_a_network() {
        assert_eq!(parse_nets("all").unwrap(), None);
        let nets = parse_nets("10.0.0.0/8, 192.0.2.7,2001:db8::/32")
            .unwrap()
            .unwrap();
        assert_eq!(nets.len(), 3);
        assert_eq!(nets[1].to_string(), "192.0.2.7/32");
        assert!(parse_nets("10.0.0.0/8,").is_err());
    }

    #[test]
    fn allowed_networks_are_none_or_a_list_and_never_everything() {
        assert_eq!(parse_allowed_nets("none").unwrap(), []);
        assert_eq!(parse_allowed_nets("10.1.0.0/16, ::1").unwrap().len(), 2);
        for text in ["all", "0.0.0.0/0", "10.0.0.0/8,::/0", "", "lan"] {
            assert!(parse_allowed_nets(text).is_err(), "{text}");
        }
    }

    #[test]
    fn origins_are_everybody_or_a_list_of_what_browsers_send() {
        assert_eq!(parse_origins("*").unwrap(), CorsOrigins::Any);
        let listed = "https://shop.example, http://localhost:5173,https://[2001:db8::1]:8443";
        assert_eq!(
            parse_origins(listed).unwrap().to_string(),
            listed.replace(' ', "")
        );
        assert_eq!(
            parse_origins("https://Shop.Example").unwrap().to_string(),
            "https://shop.example"
        );
        for text in [
            "null",
            "shop.example",
            "ftp://shop.example",
            "https://",
            "https://*.shop.example",
            "https://shop.example,",
            "https://shop.example,*",
            "https://shop example",
            "https://[2001:db8::g]",
            "https://läden.example",
        ] {
            assert!(parse_origins(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_nearly_an_origin_is_refused_with_the_origin_that_was_meant() {
        for (text, meant) in [
            ("https://shop.example/", "https://shop.example"),
            ("https://shop.example/app", "https://shop.example"),
            ("https://shop.example?x=1", "https://shop.example"),
            ("https://ada@shop.example", "https://shop.example"),
            ("https://shop.example:443", "https://shop.example"),
            ("http://shop.example:80", "http://shop.example"),
            ("https://[2001:DB8:0::1]", "https://[2001:db8::1]"),
        ] {
            let why = parse_origins(text).unwrap_err();
            assert!(why.ends_with(&format!("which is {meant}")), "{why}");
            assert_eq!(why.lines().count(), 1);
        }
    }

    #[test]
    fn addresses_of_the_web_lose_their_last_slash_and_nothing_else_is_one() {
        assert_eq!(
            parse_http_url("https://a.example/x/").unwrap(),
            "https://a.example/x"
        );
        for text in [
            "a.example",
            "ftp://a.example",
            "https://",
            "https://a.example?x=1",
            "not a url",
        ] {
            assert!(parse_http_url(text).is_err(), "{text}");
        }
    }

    #[test]
    fn passwords_in_addresses_are_hidden() {
        assert_eq!(
            without_password("postgres://u:p@ss@h:5432/db?password=x"),
            "postgres://(hidden)@h:5432/db"
        );
        assert_eq!(without_password("nats://h:4222"), "nats://h:4222");
        assert_eq!(without_password("token-only"), "(hidden)");
    }

    #[test]
    fn an_instances_name_is_plain() {
        assert!(parse_instance(&default_instance()).is_ok());
        for text in ["a.b", "a b", "a>", &"x".repeat(65)] {
            assert!(parse_instance(text).is_err(), "{text}");
        }
    }
}
