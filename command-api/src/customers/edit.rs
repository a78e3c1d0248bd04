//! What is known of a customer changes, whoever asked for it: the profile, the address with its claim, the role. One
//! command, one group.

use jiff::civil::Date;
use uuid::Uuid;

use domain::customer::{
    ChangeEmail, ChangeProfile, ChangeRole, ChooseChannels, Command as Wanted, Customer, Details,
};
use domain::partner::Partner;
use event_schema::customer::Role as StoredRole;
use event_schema::ids::PartnerId;
use event_schema::notification::{Channel, QuietHours};
use event_schema::{PersonalKey, Sealed, Version};
use event_store::{Claim, Freshness, Stop, Work};
use service_kit::{Caller, Problem, Validation};

use super::{AccountBody, EMAIL_RULE};
use crate::answer::Answer;
use crate::auth::mails;
use crate::command::Command;
use crate::door::{Door, LOG_LIMIT};
use crate::fields::{self, NAME_CHARS_MAX, QuietHoursBody};
use crate::if_match::IfMatch;
use crate::problem::{self, Refusal};

/// What is to be different; what is not given stays, an inner `None` takes a value away.
#[derive(Debug, Clone, Default)]
pub(crate) struct Edit {
    pub(crate) name: Option<String>,
    pub(crate) email: Option<String>,
    pub(crate) phone: Option<Option<String>>,
    pub(crate) birth_date: Option<Option<String>>,
    pub(crate) push_token: Option<Option<String>>,
    /// Channels with whether the person is told things by them.
    pub(crate) channels: Vec<(Channel, bool)>,
    pub(crate) quiet_hours: Option<Option<QuietHoursBody>>,
    pub(crate) role: Option<StoredRole>,
    pub(crate) partner_id: Option<Option<Uuid>>,
}

impl Edit {
    /// The same with every field acceptable.
    pub(crate) fn checked(self, today: Date) -> Result<Self, Problem> {
        let mut validation = Validation::new();
        let validation = &mut validation;
        let filled = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        let checked = Self {
            name: self
                .name
                .map(|name| fields::line(validation, "/name", &name, NAME_CHARS_MAX)),
            email: self
                .email
                .map(|email| fields::email(validation, "/email", &email)),
            phone: self.phone.map(|phone| {
                filled(phone).map(|phone| fields::phone(validation, "/phone", &phone))
            }),
            birth_date: self.birth_date.map(|day| {
                filled(day).map(|day| fields::birth_date(validation, "/birth_date", &day, today))
            }),
            push_token: self
                .push_token
                .map(|token| fields::push_token(validation, "/push_token", token.as_deref())),
            quiet_hours: self.quiet_hours.map(|hours| {
                hours.map(|hours| fields::quiet_hours(validation, "/quiet_hours", &hours).into())
            }),
            ..self
        };
        std::mem::take(validation).finish()?;
        Ok(checked)
    }
}

impl Edit {
    /// How the person wants to be told things, if that is a part of the edit; what it does not name stays.
    fn chosen(&self, known: &Details) -> Option<ChooseChannels> {
        if self.channels.is_empty() && self.quiet_hours.is_none() {
            return None;
        }
        let mut off = known.channels_off.clone();
        for (channel, on) in &self.channels {
            off.retain(|one| one != channel);
            if !on {
                off.push(*channel);
            }
        }
        let quiet_hours = match &self.quiet_hours {
            None => known.quiet_hours.clone(),
            Some(hours) => hours.clone().map(QuietHours::from),
        };
        Some(ChooseChannels { off, quiet_hours })
    }
}

/// What came of it inside the decision.
struct Done {
    body: AccountBody,
    version: Version,
    moved: bool,
    promoted: bool,
}

/// Carries the edit out and answers with the customer as he is then.
pub(crate) async fn edit(
    door: &Door,
    caller: &Caller,
    command: &Command,
    if_match: &IfMatch,
    id: Uuid,
    edit: Edit,
) -> Result<Answer<AccountBody>, Problem> {
    // Asked first, so that no key is made for somebody who is not there.
    let load = door.executor.load::<Customer>(id, Freshness::Leader);
    let before = match tokio::time::timeout(LOG_LIMIT, load).await {
        Ok(loaded) => loaded.map_err(problem::of_load)?,
        Err(_) => return Err(Problem::broker_unavailable()),
    };
    let before = open_account(&before.state)?.clone();
    let personal = door.vault.personal_key(id).await?;
    let old_email = before.email.open(Some(&personal)).ok().flatten();
    let change = Change::of(door, &personal, id, &edit)?;
    let decide = |work: &mut Work| {
        let state = work.state::<Customer>(id)?;
        let known = open_account(&state).map_err(Stop::rejected)?.clone();
        let (mut moved, mut promoted) = (change.email.is_some(), change.role(&known).is_some());
        if !command.has_happened(work)? {
            if_match
                .check(work.version::<Customer>(id)?)
                .map_err(Stop::rejected)?;
            if let Some(to) = change.role(&known) {
                if let Some(partner) = to.partner_id
                    && work.state::<Partner>(partner.0)?.profile().is_none()
                {
                    return Err(Stop::rejected(Refusal::unknown_partner()));
                }
                promoted = work.decide::<Customer>(id, Wanted::ChangeRole(to))? > 0;
            }
            if let Some(to) = &change.email {
                moved = to.email_key != known.email_key;
                if moved {
                    if let Claim::Taken { .. } = work.claim(EMAIL_RULE, &to.email_key, id)? {
                        return Err(Stop::rejected(Refusal::email_taken()));
                    }
                    work.release(EMAIL_RULE, &known.email_key, id)?;
                }
                work.decide::<Customer>(id, Wanted::ChangeEmail(to.clone()))?;
            }
            let profile = change.profile(&known, &personal);
            work.decide::<Customer>(id, Wanted::ChangeProfile(profile))?;
            if let Some(chosen) = edit.chosen(&known) {
                work.decide::<Customer>(id, Wanted::ChooseChannels(chosen))?;
            }
        }
        let state = work.state::<Customer>(id)?;
        let known = open_account(&state).map_err(Stop::rejected)?;
        let body = AccountBody::open(id, known, &personal).map_err(Stop::rejected)?;
        let version = work.version::<Customer>(id)?;
        Ok(Done {
            body,
            version,
            moved,
            promoted,
        })
    };
    let executed = door.execute(command, decide).await?;
    let done = executed.value;
    if done.moved || done.promoted {
        // What a token says about the role is not true any more, so none is spared then.
        let spared = caller.session.filter(|_| !done.promoted);
        let why = if done.promoted {
            "role_changed"
        } else {
            "email_changed"
        };
        let now = door.clock.now();
        let ended = door.vault.end_sessions(id, spared, why, now).await?;
        door.tokens.revoked().add(ended, now);
    }
    if done.moved
        && let Some(to) = &change.email
    {
        mails::verification(door, id, to.email_key.clone());
        if let Some(old) = old_email {
            mails::address_left(door, id, old);
        }
    }
    Ok(Answer::ok(done.body)
        .at(executed.position)
        .version(done.version))
}

fn open_account(state: &domain::customer::State) -> Result<&Details, Problem> {
    use domain::customer::State;
    match state {
        State::Added(details) => Ok(details),
        State::Deactivated(_) => Err(problem::account_closed()),
        State::NotAdded | State::Erased => Err(Problem::not_found("there is no such customer")),
    }
}

/// The edit with personal data sealed.
struct Change {
    plain: Edit,
    sealed: ChangeProfile,
    email: Option<ChangeEmail>,
}

impl Change {
    fn of(door: &Door, personal: &PersonalKey, id: Uuid, edit: &Edit) -> Result<Self, Problem> {
        let seal = |field: &str, value: &String| {
            Sealed::seal(personal, id, id, field, value)
                .map_err(|error| Problem::unexpected(&error))
        };
        let nullable = |field: &str, value: &Option<Option<String>>| match value {
            None => Ok(None),
            Some(None) => Ok(Some(None)),
            Some(Some(value)) => seal(field, value).map(|sealed| Some(Some(sealed))),
        };
        let email = match &edit.email {
            None => None,
            Some(email) => Some(ChangeEmail {
                email: seal("email", email)?,
                email_key: door.email_key(email),
            }),
        };
        let name = edit.name.as_ref().map(|name| seal("name", name));
        Ok(Self {
            plain: edit.clone(),
            sealed: ChangeProfile {
                name: name.transpose()?,
                phone: nullable("phone", &edit.phone)?,
                birth_date: nullable("birth_date", &edit.birth_date)?,
                push_token: nullable("push_token", &edit.push_token)?,
            },
            email,
        })
    }

    /// Only what is really different: sealing is randomised, so a decider could not tell.
    fn profile(&self, known: &Details, key: &PersonalKey) -> ChangeProfile {
        let plain = |sealed: &Sealed<String>| sealed.open(Some(key)).ok().flatten();
        let differs = |wanted: &Option<Option<String>>, known: &Option<Sealed<String>>| {
            wanted
                .as_ref()
                .is_some_and(|wanted| *wanted != known.as_ref().and_then(plain))
        };
        let ChangeProfile {
            name,
            phone,
            birth_date,
            push_token,
        } = self.sealed.clone();
        let (edit, renamed) = (&self.plain, self.plain.name != plain(&known.name));
        ChangeProfile {
            name: name.filter(|_| renamed),
            phone: phone.filter(|_| differs(&edit.phone, &known.phone)),
            birth_date: birth_date.filter(|_| differs(&edit.birth_date, &known.birth_date)),
            push_token: push_token.filter(|_| differs(&edit.push_token, &known.push_token)),
        }
    }

    /// The role with the partner that goes with it: who stops being a partner's person acts for nobody.
    fn role(&self, known: &Details) -> Option<ChangeRole> {
        if self.plain.role.is_none() && self.plain.partner_id.is_none() {
            return None;
        }
        let role = self.plain.role.unwrap_or(known.role);
        let partner_id = match self.plain.partner_id {
            Some(given) => given.map(PartnerId),
            None => known.partner_id.filter(|_| role == StoredRole::Partner),
        };
        Some(ChangeRole { role, partner_id })
    }
}
