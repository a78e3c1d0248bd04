//! The vault against a real Postgres: keys are made once, destroyed for ever, and useless without the installation's key.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::time::Duration;

use event_schema::{PersonalKey, Sealed};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use service_kit::crypto::InstallationKey;
use service_kit::vault::{self, Rotated, Vault, VaultError};
use service_kit::{Problem, postgres};
use sqlx::PgPool;
use uuid::Uuid;

async fn database() -> PgPool {
    let url = SecretString::from(dev_servers::fresh_database().await.unwrap());
    let pool = postgres::connect(&url, "vault-test", 8).await.unwrap();
    postgres::migrate(&pool, &vault::migrator()).await.unwrap();
    pool
}

fn vault_on(pool: &PgPool, secret: &[u8]) -> Vault {
    Vault::new(pool.clone(), &InstallationKey::from_secret(secret).unwrap()).unwrap()
}

fn sealed(key: &PersonalKey, person: Uuid) -> Sealed<String> {
    Sealed::seal(
        key,
        person,
        Uuid::from_u128(9),
        "phone",
        &"+49 30 1".to_owned(),
    )
    .unwrap()
}

#[tokio::test]
async fn a_person_has_one_key_whoever_asks_first_and_how_many_at_once() {
    let pool = database().await;
    let person = Uuid::now_v7();
    let asked = (0..16).map(|_| {
        // Vaults of their own, as in processes of their own.
        let vault = vault_on(&pool, b"ours");
        tokio::spawn(async move { *vault.personal_key(person).await.unwrap().expose() })
    });
    let keys: Vec<[u8; 32]> = futures::future::join_all(asked)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert!(keys.windows(2).all(|pair| pair[0] == pair[1]));
    let other = vault_on(&pool, b"ours")
        .personal_key(Uuid::now_v7())
        .await
        .unwrap();
    assert_ne!(other.expose(), &keys[0]);
}

#[tokio::test]
async fn a_destroyed_key_opens_nothing_any_more_and_is_never_made_again() {
    let pool = database().await;
    let vault = vault_on(&pool, b"ours");
    let person = Uuid::now_v7();
    let value = sealed(&vault.personal_key(person).await.unwrap(), person);
    let open = |key: Option<PersonalKey>| value.open(key.as_ref()).unwrap();
    assert_eq!(
        open(vault.open(person).await.unwrap()).as_deref(),
        Some("+49 30 1")
    );

    vault.destroy(person).await.unwrap();
    vault.destroy(person).await.unwrap();

    for vault in [vault, vault_on(&pool, b"ours")] {
        assert_eq!(open(vault.open(person).await.unwrap()), None);
        let error = vault.personal_key(person).await.unwrap_err();
        assert!(matches!(error, VaultError::Erased(erased) if erased == person));
        assert_eq!(Problem::from(error).status(), 409);
    }
    let (left,): (i64,) =
        sqlx::query_as("select count(*) from vault.personal_keys where wrapped_key is not null")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn somebody_erased_before_he_had_a_key_never_gets_one() {
    let vault = vault_on(&database().await, b"ours");
    let person = Uuid::now_v7();
    assert!(vault.open(person).await.unwrap().is_none());
    vault.destroy(person).await.unwrap();
    assert!(matches!(
        vault.personal_key(person).await,
        Err(VaultError::Erased(_))
    ));
}

#[tokio::test]
async fn a_key_destroyed_in_another_process_is_gone_here_as_soon_as_it_is_forgotten() {
    let pool = database().await;
    let (here, there) = (vault_on(&pool, b"ours"), vault_on(&pool, b"ours"));
    let person = Uuid::now_v7();
    here.personal_key(person).await.unwrap();
    there.destroy(person).await.unwrap();
    here.forget(person);
    assert!(here.open(person).await.unwrap().is_none());
}

#[tokio::test]
async fn many_keys_are_opened_with_one_question_and_those_without_one_are_left_out() {
    let pool = database().await;
    let vault = vault_on(&pool, b"ours");
    let (ada, bob, nobody) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    let key = vault.personal_key(ada).await.unwrap();
    vault.personal_key(bob).await.unwrap();
    vault.destroy(bob).await.unwrap();
    for vault in [vault, vault_on(&pool, b"ours")] {
        let keys = vault.open_many(&[ada, bob, nobody]).await.unwrap();
        assert_eq!(keys.len(), 1);
        assert_eq!(keys[&ada].expose(), key.expose());
    }
}

#[tokio::test]
async fn a_copy_of_the_database_opens_nothing_under_another_installation() {
    let pool = database().await;
    let person = Uuid::now_v7();
    let ours = vault_on(&pool, b"ours");
    let key = ours.personal_key(person).await.unwrap();
    ours.put_secret("partner_webhook", person, &SecretString::from("whsec_1"))
        .await
        .unwrap();
    let (stored,): (Vec<u8>,) = sqlx::query_as("select wrapped_key from vault.personal_keys")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert!(!stored.windows(32).any(|bytes| bytes == key.expose()));

    let theirs = vault_on(&pool, b"theirs");
    for error in [
        theirs.open(person).await.unwrap_err(),
        theirs
            .get_secret("partner_webhook", person)
            .await
            .unwrap_err(),
    ] {
        assert!(matches!(error, VaultError::Unreadable { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_secret_is_stored_replaced_kept_and_removed() {
    let vault = vault_on(&database().await, b"ours");
    let id = Uuid::now_v7();
    let secret = |text: &str| SecretString::from(text.to_owned());
    let read = async || {
        let found = vault.get_secret("partner_webhook", id).await.unwrap();
        found.map(|secret| secret.expose_secret().to_owned())
    };
    assert_eq!(read().await, None);
    let first = vault
        .keep_secret("partner_webhook", id, &secret("one"))
        .await
        .unwrap();
    let again = vault
        .keep_secret("partner_webhook", id, &secret("two"))
        .await
        .unwrap();
    assert_eq!(
        (first.expose_secret(), again.expose_secret()),
        ("one", "one")
    );
    vault
        .put_secret("partner_webhook", id, &secret("three"))
        .await
        .unwrap();
    assert_eq!(read().await.as_deref(), Some("three"));
    assert!(vault.get_secret("other", id).await.unwrap().is_none());
    vault.remove_secret("partner_webhook", id).await.unwrap();
    assert_eq!(read().await, None);
}

#[tokio::test]
async fn the_vault_keeps_its_own_record_of_migrations_and_migrating_again_or_at_once_is_harmless() {
    let pool = database().await;
    let migrations = (0..4).map(|_| {
        let pool = pool.clone();
        tokio::spawn(async move { postgres::migrate(&pool, &vault::migrator()).await })
    });
    for migrated in futures::future::join_all(migrations).await {
        migrated.unwrap().unwrap();
    }
    postgres::wait_until_migrated(&pool, &vault::migrator())
        .await
        .unwrap();
    let (applied,): (i64,) = sqlx::query_as("select count(*) from vault.migrations")
        .fetch_one(&pool)
        .await
        .unwrap();
    let known = i64::try_from(vault::migrator().iter().count()).unwrap();
    assert_eq!(applied, known, "each once");
}

#[tokio::test]
async fn a_vault_whose_database_is_away_answers_503() {
    let pool = database().await;
    let vault = vault_on(&pool, b"ours");
    pool.close().await;
    let problem = Problem::from(vault.open(Uuid::now_v7()).await.unwrap_err());
    assert_eq!(
        (problem.status().as_u16(), problem.code()),
        (503, "database_unavailable")
    );
}

#[tokio::test]
async fn a_rotated_secret_takes_over_once_and_the_one_before_is_believed_for_a_while() {
    const KIND: &str = "partner_webhook";
    let grace = Duration::from_secs(60);
    let vault = vault_on(&database().await, b"ours");
    let (id, rotation) = (Uuid::now_v7(), Uuid::now_v7());
    let now = Timestamp::from_second(1_800_000_000).unwrap();
    let secret = |text: &str| SecretString::from(text.to_owned());
    let rotate = async |rotation: Uuid, text: &str| {
        let fresh = secret(text);
        let rotated = vault.rotate_secret(KIND, id, rotation, &fresh, now, grace);
        match rotated.await.unwrap() {
            Rotated::Now { secret, .. } => secret.expose_secret().to_owned(),
            other => format!("{other:?}"),
        }
    };
    let believed = async |at: Timestamp| -> Vec<String> {
        let secrets = vault.believed_secrets(KIND, id, at).await.unwrap();
        let text = |secret: &SecretString| secret.expose_secret().to_owned();
        secrets.iter().map(text).collect()
    };
    assert_eq!(rotate(rotation, "none").await, "Missing");
    assert!(believed(now).await.is_empty());
    vault.put_secret(KIND, id, &secret("one")).await.unwrap();
    assert_eq!(rotate(rotation, "two").await, "two");
    assert_eq!(
        rotate(rotation, "other").await,
        "two",
        "a repeat replaces nothing"
    );
    assert_eq!(believed(now).await, ["two", "one"]);
    assert_eq!(believed(now + grace).await, ["two"]);
    assert_eq!(rotate(Uuid::now_v7(), "three").await, "three");
    assert_eq!(rotate(rotation, "other").await, "Replaced");
    assert_eq!(believed(now).await, ["three", "two"]);
}
