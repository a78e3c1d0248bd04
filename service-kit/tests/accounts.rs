//! What people sign in with, in a real Postgres: passwords that grow stronger, sessions that other processes ended,
//! attempts that all processes count, and nothing that stays for ever.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use service_kit::crypto::InstallationKey;
use service_kit::passwords::{Passwords, Verdict};
use service_kit::signing::{Grant, SigningKey, Tokens};
use service_kit::vault::{self, Allowance, Purpose, Rotation, Vault};
use service_kit::{Clock, Role, Shutdown, postgres};
use sqlx::PgPool;
use uuid::Uuid;

const MINUTE: Duration = Duration::from_secs(60);

async fn database() -> PgPool {
    let url = SecretString::from(dev_servers::fresh_database().await.unwrap());
    let pool = postgres::connect(&url, "accounts-test", 8).await.unwrap();
    postgres::migrate(&pool, &vault::migrator()).await.unwrap();
    pool
}

fn vault_on(pool: &PgPool) -> Vault {
    Vault::new(
        pool.clone(),
        &InstallationKey::from_secret(b"ours").unwrap(),
    )
    .unwrap()
}

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

fn secret(text: &str) -> SecretString {
    SecretString::from(text)
}

async fn signed_in(vault: &Vault, person: Uuid) -> vault::Opened {
    vault
        .set_first_password(person, &secret("a hash"), now())
        .await
        .unwrap();
    let version = vault.credential(person).await.unwrap().unwrap().version;
    vault
        .open_session(person, version, "here", Uuid::now_v7(), now())
        .await
        .unwrap()
        .unwrap()
}

#[tokio::test]
async fn neither_hash_nor_token_nor_code_can_be_read_in_the_database() {
    let pool = database().await;
    let vault = vault_on(&pool);
    let ada = Uuid::now_v7();
    let opened = signed_in(&vault, ada).await;
    let code = vault
        .issue_code(Purpose::ResetPassword, ada, "key", now())
        .await
        .unwrap();
    for table in ["credentials", "sessions", "refresh_tokens", "codes"] {
        let rows: Vec<(String,)> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "select row_to_json(t)::text from vault.{table} t"
        )))
        .fetch_all(&pool)
        .await
        .unwrap();
        assert_eq!(rows.len(), 1, "{table}");
        for hidden in [
            "a hash",
            &hex::encode("a hash"),
            "here",
            opened.refresh_token.expose_secret(),
            code.expose_secret(),
        ] {
            assert!(!rows[0].0.contains(hidden), "{table}: {}", rows[0].0);
        }
    }
    assert_eq!(
        vault
            .credential(ada)
            .await
            .unwrap()
            .unwrap()
            .hash
            .expose_secret(),
        "a hash"
    );
}

#[tokio::test]
async fn a_stronger_hash_replaces_the_weak_one_unless_the_password_has_changed_meanwhile() {
    let vault = vault_on(&database().await);
    let ada = Uuid::now_v7();
    let weak = weak_hash();
    vault.set_first_password(ada, &weak, now()).await.unwrap();
    let passwords = Passwords::new().unwrap();
    let known = vault.credential(ada).await.unwrap().unwrap();
    let password = secret("correct horse");
    let verdict = passwords.check(&password, Some(&known.hash)).await.unwrap();
    assert_eq!(verdict, Verdict::RightButWeak);
    let stronger = passwords.hash(&password).await.unwrap();
    vault
        .strengthen(ada, known.version, &stronger)
        .await
        .unwrap();
    let known = vault.credential(ada).await.unwrap().unwrap();
    assert_eq!(
        passwords.check(&password, Some(&known.hash)).await.unwrap(),
        Verdict::Right
    );
    vault
        .change_password(ada, &secret("another hash"), None, now())
        .await
        .unwrap();
    vault
        .strengthen(ada, known.version, &stronger)
        .await
        .unwrap();
    let known = vault.credential(ada).await.unwrap().unwrap();
    assert_eq!(known.hash.expose_secret(), "another hash");
}

/// The hash of `correct horse` as it would have been made with 8 MiB and one pass.
fn weak_hash() -> SecretString {
    use argon2::password_hash::PasswordHasher;
    use argon2::password_hash::phc::PasswordHash;
    use argon2::{Algorithm, Argon2, Params, Version};
    let params = Params::new(8 * 1_024, 1, 1, None).unwrap();
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let hash: PasswordHash = argon2
        .hash_password_with_salt(b"correct horse", b"sixteen bytes it")
        .unwrap();
    SecretString::from(hash.to_string())
}

#[tokio::test]
async fn a_sign_in_that_was_under_way_when_the_password_changed_opens_no_session() {
    let vault = vault_on(&database().await);
    let ada = Uuid::now_v7();
    let opened = signed_in(&vault, ada).await;
    let before = vault.credential(ada).await.unwrap().unwrap().version;
    let ended = vault
        .change_password(ada, &secret("new hash"), None, now())
        .await
        .unwrap();
    assert_eq!(ended, [opened.session]);
    let late = vault
        .open_session(ada, before, "here", Uuid::now_v7(), now())
        .await
        .unwrap();
    assert!(late.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_use_one_token_at_once_all_get_one_successor_and_its_second_use_is_noticed() {
    let pool = database().await;
    let ada = Uuid::now_v7();
    let opened = signed_in(&vault_on(&pool), ada).await;
    let token = opened.refresh_token.expose_secret().to_owned();
    let rotated = join_all((0..16).map(|_| {
        let (vault, token) = (vault_on(&pool), token.clone());
        async move {
            match vault.rotate(&token, now()).await.unwrap() {
                Rotation::Fresh(opened) => opened.refresh_token.expose_secret().to_owned(),
                other => panic!("{other:?}"),
            }
        }
    }))
    .await;
    assert!(rotated.windows(2).all(|pair| pair[0] == pair[1]));
    let vault = vault_on(&pool);
    let used = vault.rotate(&rotated[0], now()).await.unwrap();
    assert!(matches!(used, Rotation::Fresh(_)));
    // Its successor has been used, so the first one is nobody's lost answer any more, however soon it comes.
    let reused = vault.rotate(&token, now()).await.unwrap();
    assert!(
        matches!(reused, Rotation::Reused { session, person } if session == opened.session && person == ada)
    );
}

#[tokio::test]
async fn other_processes_hear_within_seconds_that_a_session_has_ended() {
    let pool = database().await;
    let (here, there) = (vault_on(&pool), vault_on(&pool));
    let folder = tempfile::tempdir().unwrap();
    let key = SigningKey::load_or_create(&folder.path().join("signing.key")).unwrap();
    let clock = Clock::system();
    let tokens = Arc::new(Tokens::new(&key, clock.clone()));
    let shutdown = Shutdown::new();
    let watching = {
        let (tokens, clock, shutdown) = (Arc::clone(&tokens), clock.clone(), shutdown.clone());
        tokio::spawn(async move { tokens.revoked().watch(&there, &clock, &shutdown).await })
    };
    let (ada, bob) = (Uuid::now_v7(), Uuid::now_v7());
    let (of_ada, of_bob) = (
        signed_in(&here, ada).await.session,
        signed_in(&here, bob).await.session,
    );
    let token = |subject: Uuid, session: Uuid| {
        let grant = Grant {
            subject,
            roles: vec![Role::Customer],
            partner: None,
            session: Some(session),
        };
        tokens.issue_grant(grant, 10 * MINUTE).unwrap()
    };
    let (adas, bobs) = (token(ada, of_ada), token(bob, of_bob));
    // Bob ends his sessions from his own, whose access token is spared.
    here.end_sessions(ada, None, "account_closed", clock.now())
        .await
        .unwrap();
    here.end_sessions(bob, Some(of_bob), "password_changed", clock.now())
        .await
        .unwrap();
    let until = std::time::Instant::now() + Duration::from_secs(20);
    while tokens.verify(&adas).is_ok() {
        assert!(std::time::Instant::now() < until, "it was not heard");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(tokens.verify(&bobs).is_ok());
    shutdown.begin();
    watching.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_are_counted_by_all_processes_together_and_come_back_one_by_one() {
    let pool = database().await;
    let allowance = Allowance {
        name: "test",
        burst: 5,
        period: MINUTE,
    };
    let tried = join_all((0..20).map(|_| {
        let vault = vault_on(&pool);
        async move { vault.attempt(allowance, "ada", now()).await.unwrap() }
    }))
    .await;
    assert_eq!(tried.iter().filter(|tried| tried.is_ok()).count(), 5);
    for refused in tried.into_iter().filter_map(Result::err) {
        assert_eq!(refused, MINUTE);
    }
    let vault = vault_on(&pool);
    assert!(
        vault
            .attempt(allowance, "bob", now())
            .await
            .unwrap()
            .is_ok()
    );
    let later = now() + SignedDuration::from_secs(59);
    assert_eq!(
        vault.attempt(allowance, "ada", later).await.unwrap(),
        Err(Duration::from_secs(1))
    );
    let later = now() + SignedDuration::from_secs(60);
    assert!(
        vault
            .attempt(allowance, "ada", later)
            .await
            .unwrap()
            .is_ok()
    );
    assert!(
        vault
            .attempt(allowance, "ada", later)
            .await
            .unwrap()
            .is_err()
    );
    vault.give_back(allowance, "ada").await.unwrap();
    assert!(
        vault
            .attempt(allowance, "ada", later)
            .await
            .unwrap()
            .is_ok()
    );
}

#[tokio::test]
async fn what_time_has_made_useless_is_swept_and_the_rest_stays() {
    let pool = database().await;
    let vault = vault_on(&pool);
    let ada = Uuid::now_v7();
    let opened = signed_in(&vault, ada).await;
    vault
        .issue_code(Purpose::VerifyEmail, ada, "key", now())
        .await
        .unwrap();
    let allowance = Allowance {
        name: "test",
        burst: 5,
        period: MINUTE,
    };
    vault
        .attempt(allowance, "ada", now())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(vault.sweep(now()).await.unwrap(), 0);
    let tomorrow = now() + SignedDuration::from_hours(24);
    assert_eq!(vault.sweep(tomorrow).await.unwrap(), 2, "code and bucket");
    let token = opened.refresh_token.expose_secret();
    assert!(matches!(
        vault.rotate(token, tomorrow).await.unwrap(),
        Rotation::Fresh(_)
    ));
    let next_year = now() + SignedDuration::from_hours(24 * 365);
    assert!(vault.sweep(next_year).await.unwrap() > 0);
    for table in ["sessions", "refresh_tokens", "codes", "attempts"] {
        let (left,): (i64,) = sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "select count(*) from vault.{table}"
        )))
        .fetch_one(&pool)
        .await
        .unwrap();
        assert_eq!(left, 0, "{table}");
    }
    assert!(vault.credential(ada).await.unwrap().is_some());
}
