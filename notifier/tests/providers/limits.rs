//! Every provider ends in time, takes no endless answer, follows nobody elsewhere and shows no secret.

use std::time::{Duration, Instant};

use event_schema::notification::Channel;
use notifier::port::{Address, Outcome, Provider};
use notifier::providers::{Log, all};
use service_kit::SettingsArgs;

use crate::server::{Act, Server};
use crate::{ada, assert_sent, cause, message, resend, twilio};

#[tokio::test]
async fn a_provider_that_says_nothing_or_never_ends_is_left_in_time_and_the_outcome_is_unknown() {
    let api = Server::doing([Act::Silence, Act::Trickle]).await;
    let resend = resend::at(&api.url);
    let began = Instant::now();
    let (one, two) = (message(ada()), message(ada()));
    let (silent, trickling) = tokio::join!(resend.send(&one), resend.send(&two));
    for outcome in [silent, trickling] {
        assert!(matches!(outcome, Outcome::Unknown { .. }), "{outcome:?}");
    }
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_it() {
    let api = Server::doing([Act::Flood(64 * 1024 * 1024)]).await;
    let outcome = resend::at(&api.url).send(&message(ada())).await;
    assert!(matches!(outcome, Outcome::Unknown { .. }), "{outcome:?}");
}

#[tokio::test]
async fn nobody_is_followed_elsewhere() {
    let elsewhere = Server::doing([]).await;
    let to: &'static str = Box::leak(elsewhere.url.clone().into_boxed_str());
    let headers: &'static [(&str, &str)] = Box::leak(Box::new([("location", to)]));
    let api = Server::doing([Act::Answer(307, String::new(), headers)]).await;
    let outcome = resend::at(&api.url).send(&message(ada())).await;
    assert_eq!(cause(&outcome), "http_307");
    assert!(elsewhere.asked().is_empty());
}

#[tokio::test]
async fn where_nobody_answers_nothing_was_sent() {
    let nowhere = format!("http://127.0.0.1:{}", testkit::free_port());
    for outcome in [
        resend::at(&nowhere).send(&message(ada())).await,
        twilio::at(&nowhere).send(&message(twilio::phone())).await,
    ] {
        assert!(
            matches!(&outcome, Outcome::Transient { cause, .. } if cause == "not_connected"),
            "{outcome:?}"
        );
    }
}

#[tokio::test]
async fn how_long_a_provider_wants_peace_is_heard_up_to_an_hour() {
    for (asked, heard) in [("7", Some(7)), ("999999", Some(3_600)), ("soon", None)] {
        let headers: &'static [(&str, &str)] = Box::leak(Box::new([("retry-after", asked)]));
        let api = Server::doing([Act::Answer(429, "{}".into(), headers)]).await;
        let outcome = resend::at(&api.url).send(&message(ada())).await;
        let expected = Outcome::Transient {
            cause: "http_429".into(),
            retry_after: heard.map(Duration::from_secs),
        };
        assert_eq!(outcome, expected, "{asked}");
    }
}

#[test]
fn no_provider_shows_its_secret() {
    for shown in [
        format!("{:?}", resend::at("http://127.0.0.1:1")),
        format!("{:?}", twilio::at("http://127.0.0.1:1")),
        format!("{:?}", crate::fcm::at("http://127.0.0.1:1")),
    ] {
        for secret in ["re_secret", "tw_secret", "PRIVATE KEY"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}

#[tokio::test]
async fn without_settings_every_channel_is_written_to_the_log_and_each_serves_its_own_addresses() {
    service_kit::crypto::install().unwrap();
    let settings = SettingsArgs::default().resolve().unwrap();
    let providers = all(&settings).unwrap();
    for channel in Channel::ALL {
        let of_channel: Vec<_> = providers
            .iter()
            .filter(|provider| provider.channel() == channel)
            .map(|provider| provider.name())
            .collect();
        assert!(!of_channel.is_empty(), "{}", channel.as_str());
    }
    let mail = Log::new(Channel::Email);
    assert!(mail.serves(&ada()) && !mail.serves(&twilio::phone()));
    assert!(Log::new(Channel::Push).serves(&Address::Device("{}".into())));
    assert_sent(&mail.send(&message(ada())).await, None);
}

#[tokio::test]
async fn all_that_is_set_is_there_in_its_order() {
    service_kit::crypto::install().unwrap();
    let text = |value: &str| Some(value.to_owned());
    let settings = SettingsArgs {
        smtp_url: text("smtp://127.0.0.1:2525"),
        mail_api_key: text("re_secret"),
        sms_account: text("AC1"),
        sms_token: text("tw_secret"),
        sms_from: text("+15550100"),
        ..SettingsArgs::default()
    }
    .resolve()
    .unwrap();
    let names: Vec<_> = all(&settings)
        .unwrap()
        .iter()
        .map(|provider| (provider.channel().as_str(), provider.name()))
        .collect();
    for (place, expected) in [("email", "smtp"), ("email", "resend"), ("sms", "twilio")]
        .into_iter()
        .enumerate()
    {
        assert_eq!(names[place], expected, "{names:?}");
    }
    assert!(names.contains(&("push", "log")), "{names:?}");
}
