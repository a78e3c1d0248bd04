//! What of an address can be judged before anything is looked up.

use std::net::IpAddr;

use reqwest::Url;

use super::address::{Nets, NotPublic, not_public};

/// Longer addresses are nobody's.
const URL_BYTES_MAX: usize = 2048;
/// Where the web is served outside of the machine's own range.
const HTTPS_PORT: u16 = 443;
/// Ports below belong to services of the machine.
const FIRST_FREE_PORT: u16 = 1024;
/// Free ports that browsers refuse too, for what listens there takes a request for something else (WHATWG Fetch, "port
/// blocking").
const REFUSED_PORTS: [u16; 18] = [
    1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669,
    6679, 6697,
];

/// Why an address is never called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadTarget {
    /// Not an address of the web.
    #[error("it is not of the form https://host/path")]
    Unreadable,
    /// Too long.
    #[error("it is longer than {URL_BYTES_MAX} bytes")]
    TooLong,
    /// It has a user or a password in it.
    #[error("it has a user or a password in it")]
    Credentials,
    /// Not encrypted, to a host outside of the allowed networks.
    #[error("only https is called outside of WAYBILL_WEBHOOK_ALLOW_NETS")]
    Plain,
    /// A port where no web is served, to a host outside of the allowed networks.
    #[error("port {0} is not called outside of WAYBILL_WEBHOOK_ALLOW_NETS")]
    Port(u16),
}

/// An address that may be called if what its name leads to may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    url: Url,
    /// Why only the allowed networks may be reached, if it is so.
    inside_only: Option<BadTarget>,
}

impl Target {
    /// Reads and judges an address. A host that is a number, however it is written, is judged here; a name when it is
    /// looked up.
    ///
    /// # Errors
    /// [`TargetError`]: its form, or the address that it names.
    pub fn parse(text: &str, allowed: &Nets) -> Result<Self, TargetError> {
        if text.len() > URL_BYTES_MAX {
            return Err(BadTarget::TooLong.into());
        }
        let mut url = Url::parse(text).map_err(|_| BadTarget::Unreadable)?;
        let encrypted = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err(BadTarget::Unreadable.into()),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(BadTarget::Credentials.into());
        }
        url.set_fragment(None);
        let host = url.host_str().ok_or(BadTarget::Unreadable)?;
        let port = url.port_or_known_default().ok_or(BadTarget::Unreadable)?;
        let free = port >= FIRST_FREE_PORT && !REFUSED_PORTS.contains(&port);
        let inside_only = if !encrypted {
            Some(BadTarget::Plain)
        } else if port != HTTPS_PORT && !free {
            Some(BadTarget::Port(port))
        } else {
            None
        };
        // The parser of URLs has turned every spelling of a number (decimal, octal, hexadecimal, shortened) into this.
        let number = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse::<IpAddr>();
        if let Ok(address) = number
            && !allowed.allow(address)
        {
            if let Some(not) = not_public(address) {
                return Err(not.into());
            }
            if let Some(why) = inside_only {
                return Err(why.into());
            }
        }
        Ok(Self { url, inside_only })
    }

    /// Where to.
    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// Why only the allowed networks may be reached, if it is so.
    pub(super) fn inside_only(&self) -> Option<BadTarget> {
        self.inside_only
    }
}

/// Why an address is not called, as far as it can be told without looking anything up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Its form.
    #[error(transparent)]
    Form(#[from] BadTarget),
    /// The address that it names.
    #[error(transparent)]
    Address(#[from] NotPublic),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(text: &str) -> Result<Target, TargetError> {
        Target::parse(text, &Nets::default())
    }

    fn inside(text: &str) -> Result<Target, TargetError> {
        Target::parse(text, &Nets::new(&["127.0.0.0/8".parse().unwrap()]))
    }

    #[test]
    fn https_to_a_name_or_to_an_address_of_the_internet_may_be_called() {
        for good in [
            "https://lumen.example/hook",
            "https://lumen.example:8443/hook?x=1#part",
            "https://8.8.8.8/hook",
            "https://[2606:4700:4700::1111]/hook",
        ] {
            let target = judged(good).unwrap();
            assert_eq!(target.inside_only(), None, "{good}");
            assert_eq!(target.url().fragment(), None);
        }
    }

    #[test]
    fn a_loopback_address_is_known_in_every_spelling() {
        for spelling in [
            "https://127.0.0.1/",
            "https://127.1/",
            "https://2130706433/",
            "https://0x7f000001/",
            "https://0x7f.0.0.1/",
            "https://0177.0.0.1/",
            "https://017700000001/",
            "https://127.0.0.1./",
            "https://%31%32%37.0.0.1/",
            "https://127\u{3002}0\u{3002}0\u{3002}1/",
            "https://\u{2460}27.0.0.1/",
            "https:\\\\127.0.0.1\\",
            "https://[::1]/",
            "https://[0:0:0:0:0:0:0:1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://[::ffff:7f00:1]/",
            "https://[64:ff9b::7f00:1]/",
            "https://0/",
            "https://0.0.0.0/",
            "https://[::]/",
        ] {
            assert!(
                matches!(judged(spelling), Err(TargetError::Address(_))),
                "{spelling}: {:?}",
                judged(spelling)
            );
        }
    }

    #[test]
    fn what_is_no_address_of_the_web_or_tells_a_secret_is_refused() {
        for (bad, why) in [
            ("", BadTarget::Unreadable),
            ("lumen.example", BadTarget::Unreadable),
            ("https://", BadTarget::Unreadable),
            ("https://[::1%25eth0]/", BadTarget::Unreadable),
            ("https://999.1.1.1/", BadTarget::Unreadable),
            ("file:///etc/passwd", BadTarget::Unreadable),
            ("gopher://lumen.example/", BadTarget::Unreadable),
            ("https://ada:secret@lumen.example/", BadTarget::Credentials),
            ("https://ada@lumen.example/", BadTarget::Credentials),
            ("https://:secret@lumen.example/", BadTarget::Credentials),
        ] {
            assert_eq!(judged(bad), Err(why.into()), "{bad}");
        }
        let long = format!("https://lumen.example/{}", "x".repeat(URL_BYTES_MAX));
        assert_eq!(judged(&long), Err(BadTarget::TooLong.into()));
    }

    #[test]
    fn plain_http_and_ports_of_other_services_are_for_allowed_networks_only() {
        for (text, why) in [
            ("http://8.8.8.8/", BadTarget::Plain),
            ("https://8.8.8.8:22/", BadTarget::Port(22)),
            ("https://8.8.8.8:80/", BadTarget::Port(80)),
            ("https://8.8.8.8:6667/", BadTarget::Port(6667)),
        ] {
            assert_eq!(judged(text), Err(why.into()), "{text}");
        }
        // A name may lead into an allowed network; that is judged when it is looked up.
        let named = judged("http://lumen.example/").unwrap();
        assert_eq!(named.inside_only(), Some(BadTarget::Plain));
        let named = judged("https://lumen.example:25/").unwrap();
        assert_eq!(named.inside_only(), Some(BadTarget::Port(25)));
        for allowed in [
            "http://127.0.0.1:22/",
            "http://127.1/hook",
            "https://127.0.0.1:4222/",
        ] {
            assert!(inside(allowed).is_ok(), "{allowed}");
        }
        assert!(matches!(
            inside("http://[::1]/"),
            Err(TargetError::Address(_))
        ));
        assert!(matches!(
            inside("http://[::ffff:127.0.0.1]/"),
            Err(TargetError::Address(_))
        ));
    }
}
