//! Who may do what in the database: the shipped logins on a real Postgres, with the real migrations.

use std::str::FromStr;

use dev_servers::Postgres;
use service_kit::vault;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::secrets::Secrets;

const LOGINS: [&str; 6] = [
    "migrate",
    "projector",
    "operator",
    "command",
    "notifier",
    "sandbox",
];
const ROLES: &str = include_str!("../../../docker/postgres/roles.sql");
/// What Postgres says to who may not.
const INSUFFICIENT_PRIVILEGE: &str = "42501";

/// Statements, and which logins may run them. Nobody else. Each is taken back.
#[rustfmt::skip]
const RIGHTS: &[(&str, &str, &[&str])] = &[
    ("read personal keys", "select * from vault.personal_keys", &["migrate", "projector", "operator", "command", "notifier"]),
    ("make a personal key", "insert into vault.personal_keys (person, wrapped_key) values (gen_random_uuid(), 'x')", &["migrate", "command"]),
    ("destroy a personal key", "update vault.personal_keys set wrapped_key = null, destroyed_at = now()", &["migrate", "command"]),
    ("forget a secret", "delete from vault.secrets", &["migrate", "command"]),
    ("empty the vault", "truncate vault.personal_keys", &["migrate"]),
    ("change the vault's tables", "alter table vault.secrets add column x int", &["migrate"]),
    ("remove the vault", "drop schema vault cascade", &["migrate"]),

    ("read orders", "select * from read.orders", &["migrate", "projector", "operator"]),
    ("write orders", "delete from read.orders", &["migrate", "projector", "operator"]),
    ("read checkpoints", "select * from read.checkpoint", &["migrate", "projector", "operator"]),
    ("take the projector's lease", "insert into read.projector_lease values ('worker', 'me', now())", &["migrate", "projector", "operator"]),
    ("fill a shadow and swap it in", "create schema read_rebuild_x; create table read_rebuild_x.orders (like read.orders including all);
        drop table read.orders; alter table read_rebuild_x.orders set schema read; drop schema read_rebuild_x", &["migrate", "projector", "operator"]),
    ("drop the read models", "drop schema read cascade", &["migrate", "projector", "operator"]),

    ("read the sandbox's ledger", "select * from sandbox.payment_intents", &["sandbox"]),
    ("change the sandbox's tables", "alter table sandbox.faults add column x int", &["sandbox"]),

    ("make a table in public", "create table public.x ()", &[]),
    ("make a temporary table", "create temporary table x ()", &[]),
    ("make a login", "create role somebody login", &[]),
    ("read password hashes", "select * from pg_authid", &[]),
    ("read the server's files", "select pg_read_file('postgresql.conf')", &[]),
    ("run programs on the server", "copy (select 1) to program 'cat'", &[]),
];

struct Database {
    postgres: Postgres,
    secrets: Secrets,
}

impl Database {
    /// A Postgres with the shipped logins, migrated by the login that does it in a deployment.
    async fn start() -> Self {
        let postgres = tokio::task::spawn_blocking(|| Postgres::temporary().unwrap())
            .await
            .unwrap();
        let secrets = Secrets::make([1, 2, 3], [4, 5, 6], postgres.port());
        let database = Self { postgres, secrets };
        database.make_logins().await;
        let migrate = database.pool("migrate").await;
        vault::migrator().run(&migrate).await.unwrap();
        projector::migrate(&migrate).await.unwrap();
        let config =
            payment_sandbox::Config::new("sk_test_1", "whsec_1", "http://localhost:1").unwrap();
        let sandbox = payment_sandbox::Sandbox::new(database.pool("sandbox").await, config);
        sandbox.migrate().await.unwrap();
        database
    }

    async fn make_logins(&self) {
        make_logins(&self.postgres.url(), &self.secrets).await;
    }

    async fn pool(&self, login: &str) -> PgPool {
        let url = self.secrets.read(&format!("database_{login}_url"));
        PgPoolOptions::new()
            .max_connections(2)
            .connect(&url)
            .await
            .unwrap()
    }
}

/// Runs `roles.sql` as the image's start does.
pub async fn make_logins(url: &str, secrets: &Secrets) {
    let mut owner = owner_with(url, secrets, &LOGINS).await;
    sqlx::raw_sql(ROLES).execute(&mut owner).await.unwrap();
}

/// The server's owner, told the passwords of these logins.
async fn owner_with(url: &str, secrets: &Secrets, logins: &[&str]) -> PgConnection {
    let passwords = logins.iter().map(|login| {
        let password = secrets.read(&format!("postgres_{login}"));
        (format!("waybill.password_{login}"), password)
    });
    let options = PgConnectOptions::from_str(url).unwrap();
    PgConnection::connect_with(&options.options(passwords))
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_login_may_do_its_part_and_nothing_else() {
    let database = Database::start().await;
    let mut wrong = Vec::new();
    for login in LOGINS {
        let pool = database.pool(login).await;
        for (what, statement, allowed) in RIGHTS {
            let mut connection = pool.acquire().await.unwrap();
            let mut transaction = connection.begin().await.unwrap();
            let tried = sqlx::raw_sql(*statement).execute(&mut *transaction).await;
            transaction.rollback().await.unwrap();
            let may = match tried {
                Ok(_) => true,
                Err(error) => {
                    let code = error.as_database_error().and_then(|error| error.code());
                    assert_eq!(
                        code.as_deref(),
                        Some(INSUFFICIENT_PRIVILEGE),
                        "{login}, {what}: {error}"
                    );
                    false
                }
            };
            if may != allowed.contains(&login) {
                wrong.push(format!(
                    "{login} {} {what}",
                    if may { "may" } else { "may not" }
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_logins_can_be_made_again_and_read_models_come_back_after_they_were_dropped() {
    let database = Database::start().await;
    let projector = database.pool("projector").await;
    // An operator acts as the projector, whoever he logs in as.
    let operator = database.pool("operator").await;
    let who: (String, String) = sqlx::query_as("select session_user::text, current_user::text")
        .fetch_one(&operator)
        .await
        .unwrap();
    assert_eq!(who, ("waybill_operator".into(), "waybill_projector".into()));

    sqlx::query("drop schema read cascade")
        .execute(&projector)
        .await
        .unwrap();
    projector::migrate(&projector).await.unwrap();
    database.make_logins().await;
    // Now everything in it is the projector's, and the next migration still may change it.
    let migrate = database.pool("migrate").await;
    projector::migrate(&migrate).await.unwrap();
    sqlx::query("alter table read.orders add column later int")
        .execute(&migrate)
        .await
        .unwrap();
    sqlx::query("create table read.later (x int)")
        .execute(&migrate)
        .await
        .unwrap();
    sqlx::query("insert into read.later values (1)")
        .execute(&projector)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_without_a_password_is_not_made_and_the_missing_setting_is_named() {
    let database = Database::start().await;
    let mut owner = owner_with(&database.postgres.url(), &database.secrets, &LOGINS[..5]).await;
    let error = sqlx::raw_sql(ROLES).execute(&mut owner).await.unwrap_err();
    assert!(
        error.to_string().contains("waybill.password_sandbox"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_gets_in() {
    let database = Database::start().await;
    let mut owner = owner_with(&database.postgres.url(), &database.secrets, &LOGINS).await;
    let password = database.secrets.read("postgres_superuser");
    let stranger = format!("create role stranger login password '{password}'");
    sqlx::raw_sql(AssertSqlSafe(stranger))
        .execute(&mut owner)
        .await
        .unwrap();
    let options = PgConnectOptions::from_str(&database.postgres.url()).unwrap();
    let options = options.username("stranger").password(&password);
    let error = PgConnection::connect_with(&options).await.unwrap_err();
    let code = error.as_database_error().and_then(|error| error.code());
    assert_eq!(code.as_deref(), Some(INSUFFICIENT_PRIVILEGE), "{error}");
}
