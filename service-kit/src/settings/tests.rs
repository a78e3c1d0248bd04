//! Settings as people write them: defaults, all bad values at once, secrets from files and never in what is shown.

use std::path::PathBuf;
use std::time::Duration;

use clap::{CommandFactory, Parser};
use secrecy::ExposeSecret;

use super::args::SettingsArgs;

#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    settings: SettingsArgs,
}

fn text(value: &str) -> Option<String> {
    Some(value.to_owned())
}

#[test]
fn the_options_are_well_formed_and_each_has_a_waybill_variable() {
    Cli::command().debug_assert();
    for argument in Cli::command().get_arguments() {
        let Some(variable) = argument.get_env() else {
            assert!(matches!(argument.get_id().as_str(), "help" | "version"));
            continue;
        };
        let expected = format!("WAYBILL_{}", argument.get_id().as_str().to_uppercase());
        assert_eq!(variable.to_str().unwrap(), expected);
    }
}

#[test]
fn without_anything_set_the_documented_defaults_hold() {
    let settings = SettingsArgs::default().resolve().unwrap();
    assert_eq!(settings.http_addr.to_string(), "127.0.0.1:8080");
    assert_eq!(settings.public_url, "http://127.0.0.1:8080");
    assert_eq!(settings.data_dir, PathBuf::from(".waybill"));
    assert_eq!(
        settings.signing_key_file,
        PathBuf::from(".waybill/signing.key")
    );
    assert_eq!(settings.stream_replicas, 1);
    assert_eq!(settings.trusted_hops, 0);
    assert!(settings.admin_nets.is_none());
    assert!(settings.cors_origins.is_none());
    assert!(settings.rate_limit);
    assert!(settings.notifier);
    assert!(settings.payment.is_none());
    assert_eq!(settings.payment_answer_deadline, Duration::from_secs(5));
    assert_eq!(settings.payment_unknown_budget, Duration::from_secs(900));
    assert_eq!(settings.time_to_pay, Duration::from_secs(900));
    assert_eq!(settings.hold_expiry, Duration::from_secs(1_200));
    assert_eq!(settings.quote_ttl, Duration::from_secs(600));
    assert!(
        settings
            .instance
            .ends_with(&format!("-{}", std::process::id()))
    );
    assert_eq!(
        settings.nats_url().unwrap_err(),
        crate::settings::MissingSetting("WAYBILL_NATS_URL")
    );
}

#[test]
fn every_bad_value_is_named_not_only_the_first() {
    let args = SettingsArgs {
        http_addr: text("localhost"),
        nats_url: text("nats://ok:4222,http://[broken"),
        database_url: text("mysql://secret-password@host/db"),
        stream_replicas: text("0"),
        trusted_hops: text("-1"),
        admin_nets: text("10.0.0.0/33"),
        cors_origins: text("https://shop.example/,https://other.example"),
        rate_limit: text("maybe"),
        notifier: text("sometimes"),
        payment_answer_deadline: text("5 seconds"),
        quote_ttl: text("0s"),
        time_to_pay: text("30m"),
        otlp_endpoint: text("otel:4317"),
        trace_share: text("2"),
        log: text("info,=="),
        log_format: text("xml"),
        nats_port: text("70000"),
        admin_email: text("nobody"),
        payment_url: text("https://pay.example.org"),
        ..SettingsArgs::default()
    };
    let error = args.resolve().unwrap_err();
    let names: Vec<_> = error.0.iter().map(|invalid| invalid.name).collect();
    for expected in [
        "WAYBILL_HTTP_ADDR",
        "WAYBILL_NATS_URL",
        "WAYBILL_DATABASE_URL",
        "WAYBILL_STREAM_REPLICAS",
        "WAYBILL_TRUSTED_HOPS",
        "WAYBILL_ADMIN_NETS",
        "WAYBILL_CORS_ORIGINS",
        "WAYBILL_RATE_LIMIT",
        "WAYBILL_NOTIFIER",
        "WAYBILL_PAYMENT_ANSWER_DEADLINE",
        "WAYBILL_QUOTE_TTL",
        "WAYBILL_HOLD_EXPIRY",
        "WAYBILL_OTLP_ENDPOINT",
        "WAYBILL_TRACE_SHARE",
        "WAYBILL_LOG",
        "WAYBILL_LOG_FORMAT",
        "WAYBILL_NATS_PORT",
        "WAYBILL_ADMIN_EMAIL",
        "WAYBILL_PAYMENT_KEY",
        "WAYBILL_PAYMENT_WEBHOOK_SECRET",
    ] {
        assert!(
            names.contains(&expected),
            "{expected} is missing in\n{error}"
        );
    }
    assert_eq!(names.len(), 20, "{error}");
    assert!(!error.to_string().contains("secret-password"));
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    let args = SettingsArgs {
        http_addr: text(""),
        nats_url: text(""),
        database_url: text(""),
        admin_password: text(""),
        quote_ttl: text(" "),
        ..SettingsArgs::default()
    };
    let settings = args.resolve().unwrap();
    assert!(settings.nats_url.is_none() && settings.database_url.is_none());
}

#[test]
fn pages_of_other_origins_are_allowed_by_name_or_all_and_the_setting_is_shown() {
    let shown = |origins: &str| {
        let settings = SettingsArgs {
            cors_origins: text(origins),
            ..SettingsArgs::default()
        }
        .resolve()
        .unwrap();
        let effective = settings.effective();
        let line = effective
            .iter()
            .find(|(name, _)| *name == "WAYBILL_CORS_ORIGINS");
        line.unwrap().1.clone()
    };
    assert_eq!(shown(""), "(not set)");
    assert_eq!(shown("*"), "*");
    assert_eq!(
        shown("https://shop.example, http://localhost:5173"),
        "https://shop.example,http://localhost:5173"
    );
}

#[test]
fn several_nats_servers_are_separated_by_commas() {
    let args = SettingsArgs {
        nats_url: text("nats://a:4222, nats://b:4222"),
        ..SettingsArgs::default()
    };
    assert_eq!(
        args.resolve().unwrap().nats_url().unwrap(),
        ["nats://a:4222", "nats://b:4222"]
    );
}

#[test]
fn a_secret_comes_from_a_file_without_its_line_end_and_never_from_both() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, "correct horse\n").unwrap();
    let mut args = SettingsArgs {
        admin_email: text("ada@example.org"),
        admin_password_file: Some(file),
        ..SettingsArgs::default()
    };
    let admin = args.resolve().unwrap().first_admin.unwrap();
    assert_eq!(admin.password.expose_secret(), "correct horse");

    args.admin_password = text("other");
    let error = args.resolve().unwrap_err();
    assert!(
        error.to_string().contains("WAYBILL_ADMIN_PASSWORD_FILE"),
        "{error}"
    );

    args.admin_password = None;
    args.admin_password_file = Some(folder.path().join("nothing-here"));
    let error = args.resolve().unwrap_err();
    assert!(error.to_string().contains("nothing-here"), "{error}");
}

#[test]
fn settings_are_shown_without_their_secrets() {
    let args = SettingsArgs {
        nats_url: text("nats://svc:natspass@a:4222"),
        database_url: text("postgres://way:dbpass@host/db"),
        admin_email: text("ada@example.org"),
        admin_password: text("adminpass"),
        payment_url: text("https://pay.example.org/"),
        payment_key: text("sk_keypass"),
        payment_webhook_secret: text("whsec_hookpass"),
        ..SettingsArgs::default()
    };
    let settings = args.resolve().unwrap();
    let shown = format!(
        "{:?} {:?} {args:?}",
        settings.effective(),
        settings.first_admin
    );
    for secret in ["natspass", "dbpass", "adminpass", "keypass", "hookpass"] {
        assert!(!shown.contains(secret), "{secret} is shown in {shown}");
    }
    assert!(shown.contains("host/db") && shown.contains("a:4222"));
    assert_eq!(settings.payment.unwrap().url, "https://pay.example.org");
}

#[test]
fn pictures_are_kept_in_the_data_folder_or_wherever_a_url_says() {
    let place = |url: Option<&str>| {
        let args = SettingsArgs {
            avatar_url: url.map(str::to_owned),
            ..SettingsArgs::default()
        };
        args.resolve().map(|settings| settings.avatars.to_string())
    };
    assert_eq!(place(None).unwrap(), "file://.waybill/avatars");
    for good in ["file:///var/lib/pictures", "s3://shop", "s3://shop/avatars"] {
        assert_eq!(place(Some(good)).unwrap(), good);
    }
    for bad in [
        "avatars",
        "file://avatars",
        "s3://",
        "s3://key:secret@shop",
        "http://shop",
    ] {
        let error = place(Some(bad)).unwrap_err().to_string();
        assert!(error.contains("WAYBILL_AVATAR_URL"), "{error}");
    }
}

#[test]
fn a_mail_server_has_a_sender_and_its_password_is_never_shown() {
    let settings = SettingsArgs {
        smtp_url: text("smtp://shop:hunter22@mail.example:2525"),
        public_url: text("https://shop.example/"),
        ..SettingsArgs::default()
    }
    .resolve()
    .unwrap();
    let smtp = settings.smtp.as_ref().unwrap();
    assert_eq!(smtp.from, "Waybill <no-reply@shop.example>");
    let shown = format!("{:?} {:?}", settings.effective(), settings);
    assert!(!shown.contains("hunter22"), "{shown}");
    let by_number = SettingsArgs {
        smtp_url: text("smtp://127.0.0.1:25"),
        ..SettingsArgs::default()
    }
    .resolve()
    .unwrap();
    assert_eq!(by_number.smtp.unwrap().from, "Waybill <no-reply@localhost>");
    let invalid = SettingsArgs {
        smtp_url: text("http://mail.example"),
        smtp_from: text("nobody"),
        ..SettingsArgs::default()
    }
    .resolve()
    .unwrap_err();
    let names: Vec<_> = invalid.0.iter().map(|invalid| invalid.name).collect();
    assert_eq!(names, ["WAYBILL_SMTP_FROM", "WAYBILL_SMTP_URL"]);
}

#[test]
fn an_outside_provider_has_an_issuer_taken_as_written_and_an_audience() {
    let with = |issuer: &str, audience: &str| {
        SettingsArgs {
            oidc_issuer: text(issuer),
            oidc_audience: text(audience),
            ..SettingsArgs::default()
        }
        .resolve()
    };
    let oidc = with("https://id.example/", "shop").unwrap().oidc.unwrap();
    assert_eq!(
        (oidc.issuer.as_str(), oidc.audience.as_str()),
        ("https://id.example/", "shop")
    );
    assert!(with("", "").unwrap().oidc.is_none());
    for (issuer, audience, named) in [
        ("https://id.example", "", "WAYBILL_OIDC_AUDIENCE"),
        ("", "shop", "WAYBILL_OIDC_ISSUER"),
        ("id.example", "shop", "WAYBILL_OIDC_ISSUER"),
    ] {
        let invalid = with(issuer, audience).unwrap_err();
        let names: Vec<_> = invalid.0.iter().map(|invalid| invalid.name).collect();
        assert_eq!(names, [named], "{issuer} {audience}");
    }
}

/// A new RSA key as a service account's key file has it.
fn service_account(folder: &std::path::Path, change: impl Fn(&mut serde_json::Value)) -> PathBuf {
    use aws_lc_rs::encoding::AsDer;
    use base64::Engine;
    let pair = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
    let der: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der().unwrap();
    let key = base64::engine::general_purpose::STANDARD.encode(der.as_ref());
    let mut account = serde_json::json!({
        "type": "service_account",
        "project_id": "shop-1",
        "private_key_id": "k-1",
        "private_key": format!("-----BEGIN PRIVATE KEY-----\n{key}\n-----END PRIVATE KEY-----\n"),
        "client_email": "pusher@shop-1.example",
        "token_uri": "https://oauth2.example/token",
    });
    change(&mut account);
    let file = folder.join(uuid::Uuid::now_v7().to_string());
    std::fs::write(&file, account.to_string()).unwrap();
    file
}

#[test]
fn whoever_carries_messages_is_set_whole_with_usual_addresses_and_hidden_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let key_file = folder.path().join("push.pem");
    let key = crate::push_key::PushKey::fresh().unwrap();
    std::fs::write(&key_file, key.to_pem().unwrap()).unwrap();
    let settings = SettingsArgs {
        mail_api_key: text("re_mailpass"),
        smtp_from: text("Corner Shop <shop@example.com>"),
        sms_account: text("AC42"),
        sms_token: text("smspass"),
        sms_from: text("+15550100"),
        fcm_credentials_file: Some(service_account(folder.path(), |_| ())),
        webpush_key_file: Some(key_file),
        webpush_subject: text("mailto:shop@example.com"),
        ..SettingsArgs::default()
    }
    .resolve()
    .unwrap();
    assert_eq!(settings.mail_from, "Corner Shop <shop@example.com>");
    assert_eq!(
        settings.mail_api.as_ref().unwrap().url,
        "https://api.resend.com"
    );
    assert_eq!(settings.sms.as_ref().unwrap().url, "https://api.twilio.com");
    let fcm = settings.fcm.as_ref().unwrap();
    assert_eq!(
        (fcm.url.as_str(), fcm.project_id.as_str()),
        ("https://fcm.googleapis.com", "shop-1")
    );
    let webpush = settings.webpush.as_ref().unwrap();
    assert_eq!(webpush.key.public(), key.public());
    let shown = format!("{:?} {settings:?}", settings.effective());
    for secret in [
        "re_mailpass",
        "smspass",
        "BEGIN PRIVATE KEY",
        &key.private_text().unwrap(),
    ] {
        assert!(!shown.contains(secret), "{secret} is shown in {shown}");
    }
    assert!(shown.contains("(of pusher@shop-1.example)"), "{shown}");
}

#[test]
fn whoever_carries_messages_is_refused_in_one_line_each_when_half_set_or_unreadable() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let file = folder.path().join(name);
        std::fs::write(&file, content).unwrap();
        Some(file)
    };
    let none = SettingsArgs::default;
    let cases = [
        (
            SettingsArgs {
                mail_api_url: text("https://mail.example"),
                ..none()
            },
            vec!["WAYBILL_MAIL_API_KEY"],
        ),
        (
            SettingsArgs {
                mail_api_key: text("two words"),
                mail_api_url: text("mail.example"),
                ..none()
            },
            vec!["WAYBILL_MAIL_API_URL", "WAYBILL_MAIL_API_KEY"],
        ),
        (
            SettingsArgs {
                sms_account: text("AC42"),
                ..none()
            },
            vec!["WAYBILL_SMS_TOKEN", "WAYBILL_SMS_FROM"],
        ),
        (
            SettingsArgs {
                sms_url: text("https://sms.example"),
                sms_account: text("../x"),
                ..none()
            },
            vec![
                "WAYBILL_SMS_ACCOUNT",
                "WAYBILL_SMS_TOKEN",
                "WAYBILL_SMS_FROM",
            ],
        ),
        (
            SettingsArgs {
                fcm_url: text("https://fcm.example"),
                ..none()
            },
            vec!["WAYBILL_FCM_CREDENTIALS_FILE"],
        ),
        (
            SettingsArgs {
                fcm_credentials_file: file("other.json", r#"{"type":"user","private_key":"hush"}"#),
                ..none()
            },
            vec!["WAYBILL_FCM_CREDENTIALS_FILE"],
        ),
        (
            SettingsArgs {
                fcm_credentials_file: Some(service_account(folder.path(), |account| {
                    account["private_key"] = "hush".into();
                })),
                ..none()
            },
            vec!["WAYBILL_FCM_CREDENTIALS_FILE"],
        ),
        (
            SettingsArgs {
                fcm_credentials_file: Some(service_account(folder.path(), |account| {
                    account["project_id"] = "../hush".into();
                })),
                ..none()
            },
            vec!["WAYBILL_FCM_CREDENTIALS_FILE"],
        ),
        (
            SettingsArgs {
                webpush_subject: text("mailto:shop@example.com"),
                ..none()
            },
            vec!["WAYBILL_WEBPUSH_KEY_FILE"],
        ),
        (
            SettingsArgs {
                webpush_key_file: file("push.key", "hush"),
                webpush_subject: text("shop@example.com"),
                ..none()
            },
            vec!["WAYBILL_WEBPUSH_SUBJECT", "WAYBILL_WEBPUSH_KEY_FILE"],
        ),
        (
            SettingsArgs {
                webpush_key_file: Some(folder.path().join("nowhere")),
                ..none()
            },
            vec!["WAYBILL_WEBPUSH_KEY_FILE", "WAYBILL_WEBPUSH_SUBJECT"],
        ),
    ];
    for (args, expected) in cases {
        let error = args.resolve().unwrap_err();
        let names: Vec<_> = error.0.iter().map(|invalid| invalid.name).collect();
        assert_eq!(names, expected, "{error}");
        assert!(!error.to_string().contains("hush"), "{error}");
    }
}
