//! The caller of a request, as its verified token names him.

use std::fmt;
use std::str::FromStr;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use http::StatusCode;
use http::request::Parts;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::problem::Problem;
use crate::signing::AuthError;

/// What a caller is to the shop.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Buys.
    Customer,
    /// Brings.
    Deliverer,
    /// Sells and prepares.
    Partner,
    /// Runs the shop.
    Admin,
}

impl Role {
    /// All roles there are.
    pub const ALL: [Self; 4] = [Self::Customer, Self::Deliverer, Self::Partner, Self::Admin];

    /// The role's name in tokens and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Deliverer => "deliverer",
            Self::Partner => "partner",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|role| role.name() == text)
            .ok_or_else(|| {
                format!("`{text}` is not a role; roles are customer, deliverer, partner and admin")
            })
    }
}

/// Who is asking. As an axum extractor it answers 401 when nobody is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The account's id; in a token without an account, for a partner, the partner's id.
    pub subject: Uuid,
    /// What he is to the shop.
    pub roles: Vec<Role>,
    /// The partner he acts for, where that is not himself.
    pub partner: Option<Uuid>,
    /// The sign-in that his token comes from.
    pub session: Option<Uuid>,
}

impl Caller {
    /// A caller of the given roles.
    #[must_use]
    pub fn new(subject: Uuid, roles: Vec<Role>) -> Self {
        Self {
            subject,
            roles,
            partner: None,
            session: None,
        }
    }

    /// Whether he has the role.
    #[must_use]
    pub fn is(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// The partner he acts for, if he is one.
    #[must_use]
    pub fn partner_id(&self) -> Option<Uuid> {
        self.is(Role::Partner)
            .then_some(self.partner.unwrap_or(self.subject))
    }

    /// Lets only callers pass who have one of the roles.
    ///
    /// # Errors
    /// 403 for everybody else.
    pub fn require(&self, allowed: &[Role]) -> Result<(), Problem> {
        if allowed.iter().any(|role| self.is(*role)) {
            return Ok(());
        }
        let names: Vec<_> = allowed.iter().map(|role| role.name()).collect();
        Err(Problem::forbidden(format!(
            "this needs the role {}",
            names.join(" or ")
        )))
    }
}

/// What the authentication layer found out about a request; every request served by our server has one.
#[derive(Debug, Clone)]
pub(crate) enum Authentication {
    Anonymous,
    Known(Caller),
    Refused(AuthError),
}

impl Authentication {
    pub(crate) fn caller(&self) -> Result<Option<&Caller>, Problem> {
        match self {
            Self::Anonymous => Ok(None),
            Self::Known(caller) => Ok(Some(caller)),
            Self::Refused(error) => Err((*error).into()),
        }
    }

    pub(crate) fn required(&self) -> Result<&Caller, Problem> {
        self.caller()?.ok_or_else(|| {
            Problem::unauthenticated("send a token in the header `Authorization: Bearer <token>`")
        })
    }

    /// A server put together without the authentication layer must refuse, not wave through.
    pub(crate) fn of(extensions: &http::Extensions) -> Result<&Self, Problem> {
        extensions.get::<Self>().ok_or_else(|| {
            tracing::error!("a request reached a route without passing the authentication layer");
            Problem::internal()
        })
    }
}

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        let code = match error {
            AuthError::NetworkNotAllowed => {
                return Self::new(StatusCode::FORBIDDEN, "network_not_allowed")
                    .detail(error.to_string());
            }
            AuthError::KeysUnavailable => {
                return Self::unavailable("issuer_unavailable", error.to_string());
            }
            AuthError::Expired => "token_expired",
            AuthError::Ended => "session_ended",
            _ => "invalid_token",
        };
        Self::new(StatusCode::UNAUTHORIZED, code)
            .detail(error.to_string())
            // RFC 6750 knows one error for all of these; the description is for the person who debugs.
            .challenge(format!(
                r#"Bearer realm="waybill", error="invalid_token", error_description="{}""#,
                error.to_string().replace(['"', '`', '\\'], "'")
            ))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        Authentication::of(&parts.extensions)?.required().cloned()
    }
}

impl<S: Send + Sync> OptionalFromRequestParts<S> for Caller {
    type Rejection = Problem;

    /// Nobody named is fine; a bad token is not, because its owner believes himself signed in.
    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Option<Self>, Problem> {
        Ok(Authentication::of(&parts.extensions)?.caller()?.cloned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_is_read_back_from_its_name() {
        for role in Role::ALL {
            assert_eq!(role.name().parse::<Role>().unwrap(), role);
            assert_eq!(serde_json::to_value(role).unwrap(), role.name());
        }
        assert!("Admin".parse::<Role>().unwrap_err().contains("deliverer"));
    }

    #[test]
    fn a_caller_passes_with_any_of_the_roles_and_is_refused_without() {
        let caller = Caller::new(Uuid::from_u128(1), vec![Role::Customer]);
        assert!(caller.require(&[Role::Admin, Role::Customer]).is_ok());
        let problem = caller.require(&[Role::Admin, Role::Partner]).unwrap_err();
        assert_eq!(problem.status(), StatusCode::FORBIDDEN);
        assert!(
            problem
                .body()
                .detail
                .as_deref()
                .unwrap()
                .contains("admin or partner")
        );
    }

    #[test]
    fn a_partners_person_acts_for_the_partner_and_others_for_none() {
        let (person, partner) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let seller = Caller {
            partner: Some(partner),
            ..Caller::new(person, vec![Role::Partner])
        };
        assert_eq!(seller.partner_id(), Some(partner));
        let buyer = Caller {
            roles: vec![Role::Customer],
            ..seller
        };
        assert_eq!(buyer.partner_id(), None);
    }

    #[test]
    fn an_expired_token_has_a_code_of_its_own() {
        assert_eq!(Problem::from(AuthError::Expired).code(), "token_expired");
        assert_eq!(
            Problem::from(AuthError::BadSignature).code(),
            "invalid_token"
        );
        assert_eq!(
            Problem::from(AuthError::NetworkNotAllowed).status(),
            StatusCode::FORBIDDEN
        );
    }
}
