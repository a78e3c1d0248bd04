//! `waybill seed`: a demo shop, or a large one, made by the same commands that everybody sends.
//!
//! The commands pass the very routes, rules and deciders of the command-api, which work in this process for as long as
//! the seed takes: nothing has to run but the two servers, migrated. Every command has a fixed idempotency key, so a
//! seed that was broken off is finished by the next one, and one that was finished adds nothing.

mod scale;
mod sender;

use std::sync::Arc;

use anyhow::Context as _;
use service_kit::http::{HttpLimits, ServerBuilder};
use service_kit::{Role, Settings};

use crate::up::demo;
use crate::{out, running};

use scale::Scale;
pub use sender::{Order, Sender};

/// The part is the command-api's, and so are its rights on broker and database.
const ROLE: &str = "command-api";
/// A large seed takes minutes, a very large one hours.
const TOKEN_TTL: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);

/// What to seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// The shop that `up` begins with.
    Demo,
    /// So many customers, products and orders, and all that belongs to them.
    Scale(u32),
}

/// Seeds the shop of the settings, else the one that runs on the data folder.
pub async fn run(settings: &Settings, what: What) -> anyhow::Result<()> {
    let settings = Arc::new(running::or_settings(settings)?);
    let deps = command_api::Deps::connect(Arc::clone(&settings), ROLE).await?;
    let (tokens, executor) = (Arc::clone(&deps.tokens), deps.executor.clone());
    let service = command_api::Service::new(deps)
        .await
        .context("the commands cannot be prepared")?;
    // Nobody knocks here but we ourselves; how much we send at once is limited below.
    let limits = HttpLimits {
        rate_limit: None,
        admin_nets: None,
        ..HttpLimits::default()
    };
    let router = ServerBuilder::new(limits)
        .tokens(Arc::clone(&tokens))
        .api(service.api())
        .build();
    let sender = Sender::in_process(router);
    let token = |role, subject| tokens.issue(role, subject, TOKEN_TTL);
    let admin_token = token(Role::Admin, demo::admin_id())?;
    match what {
        What::Demo => {
            demo::seed(&sender, &admin_token, &executor, None).await?;
            out::line("the demo shop is there");
        }
        What::Scale(count) => {
            let scale = Scale {
                sender: &sender,
                executor: &executor,
                admin_token: &admin_token,
                customer_token: &|customer| Ok(token(Role::Customer, customer)?),
                is_play_money: settings.payment.is_none(),
            };
            scale.seed(count).await?;
        }
    }
    Ok(())
}
