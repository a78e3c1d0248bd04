//! Who has an address. Somebody unknown is looked up exactly as somebody known: under an id that nobody has.

use std::sync::Arc;

use uuid::Uuid;

use domain::customer::{Customer, Details, State};
use event_schema::Actor;
use event_schema::ids::derived;
use event_store::Work;
use service_kit::Problem;

use crate::command::Command;
use crate::customers::EMAIL_RULE;
use crate::door::Door;
use crate::fields;

/// Longer than any address is.
const EMAIL_BYTES_MAX: usize = 1_024;

/// Whoever has an address, or nobody.
pub(crate) struct Account {
    /// The customer's id; of nobody when there is none.
    pub(crate) id: Uuid,
    /// Keyed hash of the normalised address.
    pub(crate) email_key: String,
    state: Arc<State>,
}

impl Account {
    /// The customer, if there is one who may sign in.
    pub(crate) fn active(&self) -> Option<&Details> {
        self.state.active()
    }
}

impl Door {
    /// Whoever has this address now.
    pub(crate) async fn account(&self, email: &str) -> Result<Account, Problem> {
        let email_key = self.email_key(email);
        let nobody = derived(&["nobody", &email_key]);
        let asked = Command::of(
            self.clock.new_id(),
            Actor::caller("caller", nobody),
            self.clock.now(),
        );
        let look = |work: &mut Work| {
            let id = work.holder(EMAIL_RULE, &email_key)?.unwrap_or(nobody);
            Ok((id, work.state::<Customer>(id)?))
        };
        let (id, state) = self.execute(&asked, look).await?.value;
        Ok(Account {
            id,
            email_key,
            state,
        })
    }

    /// The key under which an address is claimed.
    pub(crate) fn email_key(&self, email: &str) -> String {
        let kept = email.get(..EMAIL_BYTES_MAX).unwrap_or(email);
        self.installation
            .keyed_hash(EMAIL_RULE, fields::normalised_email(kept).as_bytes())
    }
}
