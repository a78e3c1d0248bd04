//! How often signing in may be tried, counted over all replicas.
//!
//! A guesser from one place is stopped by that place's allowance and by that of the place for the address. A crowd of
//! them is slowed down by the allowance of the address itself, which does not count for places from which the owner has
//! signed in before: so nobody can lock an owner out, and from a new place he gets in by a code to his mail. Honest
//! sign-ins are given back.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use axum::extract::FromRequestParts;
use http::request::Parts;
use uuid::Uuid;

use service_kit::Problem;
use service_kit::http::ClientAddress;
use service_kit::http::client_address::limit_key;
use service_kit::vault::Allowance;

use crate::door::Door;
use crate::problem;

const SIGN_IN_OF_PLACE: Allowance = Allowance {
    name: "sign-in place",
    burst: 100,
    period: Duration::from_secs(2),
};
const SIGN_IN_OF_PLACE_AND_ADDRESS: Allowance = Allowance {
    name: "sign-in place and address",
    burst: 10,
    period: Duration::from_secs(30),
};
const SIGN_IN_OF_ADDRESS: Allowance = Allowance {
    name: "sign-in address",
    burst: 50,
    period: Duration::from_secs(10),
};
/// Generous, for whole companies behind one address; a machine that makes up people runs into it.
const SIGN_UPS_OF_PLACE: Allowance = Allowance {
    name: "sign-up place",
    burst: 1_000,
    period: Duration::from_secs(10),
};
const CODES_OF_PLACE: Allowance = Allowance {
    name: "code place",
    burst: 50,
    period: Duration::from_secs(5),
};
const MAILS_OF_PLACE: Allowance = Allowance {
    name: "mail place",
    burst: 50,
    period: Duration::from_secs(10),
};
const MAILS_OF_ADDRESS: Allowance = Allowance {
    name: "mail address",
    burst: 5,
    period: Duration::from_secs(3 * 60),
};

/// What is sent because somebody changes his own address, to whomever it belongs.
const MAILS_OF_PERSON: Allowance = Allowance {
    name: "mail person",
    burst: 10,
    period: Duration::from_secs(10 * 60),
};

/// From where a request comes, as limits see it.
#[derive(Debug, Clone)]
pub(crate) struct Place(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Place {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let address = parts
            .extensions
            .get::<ClientAddress>()
            .map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |address| address.0);
        Ok(Self(limit_key(address).to_string()))
    }
}

/// One attempt to sign in, to be given back if it was honest.
pub(crate) struct Attempt<'a> {
    door: &'a Door,
    taken: Vec<(Allowance, String)>,
}

impl<'a> Attempt<'a> {
    /// Takes what one attempt costs, or says when to come back. `person` is whom the address belongs to, or nobody.
    pub(crate) async fn take(
        door: &'a Door,
        place: &Place,
        email_key: &str,
        person: Uuid,
    ) -> Result<Self, Problem> {
        let mut attempt = Self {
            door,
            taken: Vec::with_capacity(3),
        };
        let both = format!("{email_key} {}", place.0);
        attempt.one(SIGN_IN_OF_PLACE, place.0.clone()).await?;
        attempt.one(SIGN_IN_OF_PLACE_AND_ADDRESS, both).await?;
        if !door.vault.is_known_origin(person, &place.0).await? {
            attempt
                .one(SIGN_IN_OF_ADDRESS, email_key.to_owned())
                .await?;
        }
        Ok(attempt)
    }

    async fn one(&mut self, allowance: Allowance, whose: String) -> Result<(), Problem> {
        take(self.door, allowance, &whose).await?;
        self.taken.push((allowance, whose));
        Ok(())
    }

    /// It was the right password.
    pub(crate) async fn give_back(self) -> Result<(), Problem> {
        for (allowance, whose) in self.taken {
            self.door.vault.give_back(allowance, &whose).await?;
        }
        Ok(())
    }
}

/// One sign-up from this place.
pub(super) async fn sign_up(door: &Door, place: &Place) -> Result<(), Problem> {
    take(door, SIGN_UPS_OF_PLACE, &place.0).await
}

/// One mail because of what this person does; without it nothing is sent, and nobody is told.
pub(super) async fn cause_mail(door: &Door, person: Uuid) -> Result<bool, Problem> {
    let now = door.clock.now();
    let whose = person.to_string();
    let taken = door.vault.attempt(MAILS_OF_PERSON, &whose, now).await?;
    Ok(taken.is_ok())
}

/// One try of a code from this place; the code itself counts its tries too.
pub(crate) async fn try_code(door: &Door, place: &Place) -> Result<(), Problem> {
    take(door, CODES_OF_PLACE, &place.0).await
}

/// One mail to this address, asked for from this place.
pub(crate) async fn ask_for_mail(
    door: &Door,
    place: &Place,
    email_key: &str,
) -> Result<(), Problem> {
    take(door, MAILS_OF_PLACE, &place.0).await?;
    take(door, MAILS_OF_ADDRESS, email_key).await
}

async fn take(door: &Door, allowance: Allowance, whose: &str) -> Result<(), Problem> {
    let now = door.clock.now();
    match door.vault.attempt(allowance, whose, now).await? {
        Ok(()) => Ok(()),
        Err(wait) => Err(problem::too_many_attempts(wait)),
    }
}
