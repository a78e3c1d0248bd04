//! What is said in an SMTP session (RFC 5321), without a socket: a line in, an answer out.

use std::time::Duration;

use super::mail;
use crate::fault::{Failure, Fate};
use crate::message::Channel;
use crate::store::Kept;
use crate::{MESSAGE_BYTES_MAX, Sandbox};

pub(super) const GREETING: &str = "220 message-sandbox ESMTP\r\n";
pub(super) const IDLE: &str = "421 4.4.2 you have said nothing for too long\r\n";
pub(super) const TOO_LONG: &str = "500 5.5.2 the line is too long\r\n";
const RECIPIENTS_MAX: usize = 100;
/// A path's own limit is 256.
const ADDRESS_BYTES_MAX: usize = 320;

/// What follows a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing: the mail's text goes on.
    Silent,
    /// An answer.
    Say(String),
    /// An answer, after a while.
    SayLater(String, Duration),
    /// A last answer.
    End(String),
    /// The connection ends without one.
    HangUp,
}

/// A session.
pub(super) struct Conversation<'s> {
    sandbox: &'s Sandbox,
    greeted: bool,
    envelope: Option<Envelope>,
    text: Option<Text>,
}

#[derive(Default)]
struct Envelope {
    from: String,
    to: Vec<String>,
}

/// A mail's text while it arrives.
#[derive(Default)]
struct Text {
    bytes: Vec<u8>,
    too_large: bool,
    bare_line_end: bool,
}

fn say(text: &str) -> Step {
    Step::Say(format!("{text}\r\n"))
}

impl<'s> Conversation<'s> {
    pub(super) fn new(sandbox: &'s Sandbox) -> Self {
        Self {
            sandbox,
            greeted: false,
            envelope: None,
            text: None,
        }
    }

    /// One line with its end.
    pub(super) fn line(&mut self, line: &[u8]) -> Step {
        match &mut self.text {
            Some(text) => match text.add(line) {
                true => self.end_of_mail(),
                false => Step::Silent,
            },
            None => self.command(line),
        }
    }

    fn command(&mut self, line: &[u8]) -> Step {
        let Some(line) = line.strip_suffix(b"\r\n") else {
            return say("500 5.5.2 a line ends in CR and LF");
        };
        let Ok(line) = std::str::from_utf8(line) else {
            return say("500 5.5.2 this is no command");
        };
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        match verb.to_ascii_uppercase().as_str() {
            "EHLO" | "HELO" if rest.trim().is_empty() => say("501 5.5.4 who are you?"),
            "EHLO" => {
                self.greet();
                Step::Say(format!(
                    "250-message-sandbox\r\n250-SIZE {MESSAGE_BYTES_MAX}\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n\
                     250-PIPELINING\r\n250 ENHANCEDSTATUSCODES\r\n"
                ))
            }
            "HELO" => {
                self.greet();
                say("250 message-sandbox")
            }
            "NOOP" => say("250 2.0.0 fine"),
            "RSET" => {
                self.envelope = None;
                say("250 2.0.0 forgotten")
            }
            "QUIT" => Step::End("221 2.0.0 goodbye\r\n".into()),
            "VRFY" => say("252 2.1.5 send it and see"),
            "MAIL" => self.mail(rest),
            "RCPT" => self.recipient(rest),
            "DATA" => self.data(rest),
            _ => say("502 5.5.1 this command is not known"),
        }
    }

    fn greet(&mut self) {
        self.greeted = true;
        self.envelope = None;
    }

    fn mail(&mut self, rest: &str) -> Step {
        if !self.greeted {
            return say("503 5.5.1 say EHLO first");
        }
        if self.envelope.is_some() {
            return say("503 5.5.1 a mail is under way");
        }
        let Some((from, parameters)) = path(rest, "FROM:") else {
            return say("501 5.5.4 MAIL FROM:<address>");
        };
        for parameter in parameters.split_ascii_whitespace() {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            match (name.to_ascii_uppercase().as_str(), value) {
                ("SIZE", size) => match size.parse::<usize>() {
                    Ok(size) if size <= MESSAGE_BYTES_MAX => {}
                    Ok(_) => return say("552 5.3.4 the mail is too large"),
                    Err(_) => return say("501 5.5.4 SIZE is a number"),
                },
                ("BODY", "7BIT" | "8BITMIME") | ("SMTPUTF8", "") => {}
                _ => return say("555 5.5.4 this parameter is not known"),
            }
        }
        self.envelope = Some(Envelope {
            from: from.to_owned(),
            to: Vec::new(),
        });
        say("250 2.1.0 go on")
    }

    fn recipient(&mut self, rest: &str) -> Step {
        let Some(envelope) = &mut self.envelope else {
            return say("503 5.5.1 say MAIL first");
        };
        let Some((to, parameters)) = path(rest, "TO:") else {
            return say("501 5.5.4 RCPT TO:<address>");
        };
        if !parameters.trim().is_empty() {
            return say("555 5.5.4 this parameter is not known");
        }
        let usable = to
            .rsplit_once('@')
            .is_some_and(|(name, host)| !name.is_empty() && !host.is_empty());
        if !usable {
            return say("553 5.1.3 this is no mailbox");
        }
        if envelope.to.len() >= RECIPIENTS_MAX {
            return say("452 4.5.3 too many recipients");
        }
        envelope.to.push(to.to_owned());
        say("250 2.1.5 go on")
    }

    fn data(&mut self, rest: &str) -> Step {
        if !rest.trim().is_empty() {
            return say("501 5.5.4 DATA stands alone");
        }
        match &self.envelope {
            Some(envelope) if !envelope.to.is_empty() => {
                self.text = Some(Text::default());
                say("354 go on, and end with a dot on a line of its own")
            }
            Some(_) => say("554 5.5.1 nobody to send it to"),
            None => say("503 5.5.1 say MAIL first"),
        }
    }

    fn end_of_mail(&mut self) -> Step {
        let (Some(text), Some(envelope)) = (self.text.take(), self.envelope.take()) else {
            return say("503 5.5.1 say MAIL first");
        };
        if text.bare_line_end {
            return say("554 5.6.0 a line of the mail does not end in CR and LF");
        }
        if text.too_large {
            return say("552 5.3.4 the mail is too large");
        }
        let to = envelope.to.join(", ");
        let Fate {
            failure,
            latency,
            dead,
        } = self.sandbox.faults().of(Channel::Email, &to);
        let later = |text: &str| Step::SayLater(format!("{text}\r\n"), latency);
        if dead {
            return later("550 5.1.1 nobody lives here");
        }
        match failure {
            Some(Failure::TooMany) => return later("450 4.7.1 too many mails"),
            Some(Failure::Unavailable) => return later("451 4.3.0 out of order"),
            Some(Failure::Reject) => return later("550 5.7.1 this mail is not taken"),
            Some(Failure::DropBefore) => return Step::HangUp,
            Some(Failure::DropAfter) | None => {}
        }
        let Some(message) = mail::read(&text.bytes, &envelope.from, &to) else {
            return later("554 5.6.0 this is no mail");
        };
        let id = message.id;
        match self.sandbox.store().keep(message) {
            Ok(Kept::New(_) | Kept::Known(_) | Kept::OtherContent) if failure.is_some() => {
                Step::HangUp
            }
            Ok(_) => later(&format!("250 2.0.0 taken as {id}")),
            Err(error) => {
                tracing::error!(%error, "a mail cannot be kept");
                later("452 4.3.1 no room")
            }
        }
    }
}

impl Text {
    /// One line more; whether it was the last one.
    fn add(&mut self, line: &[u8]) -> bool {
        if line == b".\r\n" {
            return true;
        }
        // A mail that could be read in two ways is none: a dot after such a line ends it for some servers.
        self.bare_line_end |= !line.ends_with(b"\r\n") || line[..line.len() - 2].contains(&b'\r');
        let line = line.strip_prefix(b".").unwrap_or(line);
        if self.bytes.len() + line.len() > MESSAGE_BYTES_MAX {
            self.too_large = true;
        } else if !self.too_large {
            self.bytes.extend_from_slice(line);
        }
        false
    }
}

/// The address of `FROM:<…>` or `TO:<…>`, and what follows.
fn path<'l>(text: &'l str, before: &str) -> Option<(&'l str, &'l str)> {
    let (head, rest) = text.split_at_checked(before.len())?;
    if !head.eq_ignore_ascii_case(before) {
        return None;
    }
    let (address, rest) = rest.trim_start().strip_prefix('<')?.split_once('>')?;
    let plain = |c: char| !c.is_control() && !matches!(c, ' ' | '<');
    let usable = address.len() <= ADDRESS_BYTES_MAX && address.chars().all(plain);
    let apart = rest.is_empty() || rest.starts_with(' ');
    (usable && apart).then_some((address, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::fault::Rule;

    fn sandbox() -> Sandbox {
        Sandbox::open(&Config::new("http://127.0.0.1:1")).unwrap()
    }

    /// The codes of the answers; "…" is none yet, "x" a hang-up.
    fn codes(sandbox: &Sandbox, lines: &[&str]) -> Vec<String> {
        let mut conversation = Conversation::new(sandbox);
        let code = |text: String| text.chars().take(3).collect();
        lines
            .iter()
            .map(|line| match conversation.line(line.as_bytes()) {
                Step::Silent => "…".to_owned(),
                Step::Say(text) | Step::SayLater(text, _) | Step::End(text) => code(text),
                Step::HangUp => "x".to_owned(),
            })
            .collect()
    }

    const MAIL: [&str; 8] = [
        "EHLO shop\r\n",
        "MAIL FROM:<shop@example.com> SIZE=100 BODY=8BITMIME\r\n",
        "RCPT TO:<ada@example.com>\r\n",
        "DATA\r\n",
        "Subject: Hello\r\n",
        "\r\n",
        "..two dots\r\n",
        ".\r\n",
    ];

    #[test]
    fn a_mail_is_taken_with_its_dots_as_they_were() {
        let sandbox = sandbox();
        let said = codes(&sandbox, &MAIL);
        assert_eq!(said, ["250", "250", "250", "354", "…", "…", "…", "250"]);
        let kept = sandbox.store().newest();
        assert_eq!(kept[0].subject.as_deref(), Some("Hello"));
        assert_eq!(kept[0].to, "ada@example.com");
        assert_eq!(
            kept[0].text.as_deref().map(str::trim_end),
            Some(".two dots")
        );
    }

    #[test]
    fn commands_out_of_order_or_of_another_form_are_refused() {
        for (lines, codes_wanted) in [
            (vec!["MAIL FROM:<a@b>\r\n"], vec!["503"]),
            (vec!["EHLO x\r\n", "RCPT TO:<a@b>\r\n"], vec!["250", "503"]),
            (vec!["EHLO x\r\n", "DATA\r\n"], vec!["250", "503"]),
            (vec!["EHLO\r\n"], vec!["501"]),
            (vec!["EHLO x\n"], vec!["500"]),
            (vec!["EHLO x\r\n", "MAIL FROM:a@b\r\n"], vec!["250", "501"]),
            (
                vec!["EHLO x\r\n", "MAIL FROM:<a b@c>\r\n"],
                vec!["250", "501"],
            ),
            (
                vec!["EHLO x\r\n", "MAIL FROM:<a@b> SIZE=9999999\r\n"],
                vec!["250", "552"],
            ),
            (
                vec!["EHLO x\r\n", "MAIL FROM:<a@b> AUTH=<>\r\n"],
                vec!["250", "555"],
            ),
            (
                vec![
                    "EHLO x\r\n",
                    "MAIL FROM:<>\r\n",
                    "RCPT TO:<nobody>\r\n",
                    "DATA\r\n",
                ],
                vec!["250", "250", "553", "554"],
            ),
            (vec!["STARTTLS\r\n"], vec!["502"]),
            (vec!["\r\n"], vec!["502"]),
            (vec!["QUIT\r\n"], vec!["221"]),
        ] {
            assert_eq!(codes(&sandbox(), &lines), codes_wanted, "{lines:?}");
        }
    }

    #[test]
    fn a_mail_that_some_servers_would_read_as_two_is_refused() {
        for smuggled in ["\n", "text\n", "a\rb\r\n"] {
            let mut lines = MAIL.to_vec();
            lines[5] = smuggled;
            let sandbox = sandbox();
            assert_eq!(
                codes(&sandbox, &lines).last().unwrap(),
                "554",
                "{smuggled:?}"
            );
            assert!(sandbox.store().newest().is_empty());
        }
    }

    #[test]
    fn a_mail_that_is_too_large_is_refused_at_its_end_and_the_next_one_is_not() {
        let sandbox = sandbox();
        let long = format!("{}\r\n", "x".repeat(60_000));
        let mut lines = MAIL[..6].to_vec();
        lines.extend(std::iter::repeat_n(long.as_str(), 20));
        lines.push(".\r\n");
        lines.extend(&MAIL[1..]);
        let said = codes(&sandbox, &lines);
        assert_eq!(said[26], "552");
        assert_eq!(said.last().unwrap(), "250");
    }

    #[test]
    fn failures_are_told_as_mail_servers_do() {
        let sandbox = sandbox();
        for (failure, code) in [
            (Failure::TooMany, "450"),
            (Failure::Unavailable, "451"),
            (Failure::Reject, "550"),
            (Failure::DropBefore, "x"),
        ] {
            let rule = Rule {
                fail_every: 1,
                fail_as: vec![failure],
                ..Rule::default()
            };
            sandbox.faults().set(Channel::Email, rule);
            assert_eq!(codes(&sandbox, &MAIL).last().unwrap(), code);
        }
        assert!(sandbox.store().newest().is_empty());
        let dead = Rule {
            dead: ["ada@example.com".to_owned()].into(),
            ..Rule::default()
        };
        sandbox.faults().set(Channel::Email, dead);
        assert_eq!(codes(&sandbox, &MAIL).last().unwrap(), "550");
        let dropped = Rule {
            fail_every: 1,
            fail_as: vec![Failure::DropAfter],
            ..Rule::default()
        };
        sandbox.faults().set(Channel::Email, dropped);
        assert_eq!(codes(&sandbox, &MAIL).last().unwrap(), "x");
        assert_eq!(sandbox.store().newest().len(), 1, "it was taken");
    }
}
