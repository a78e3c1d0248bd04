//! Cloud resources in the catalogue: added, described anew, removed. Who has which is another area's business.

mod add;
mod change;
mod remove;

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use domain::resource::Details;
use event_store::Stop;
use service_kit::{Access, ApiRouter, Role, Validation, routes};

use crate::door::Door;
use crate::fields::{self, NAME_CHARS_MAX};
use crate::problem::Refusal;

/// What kind of thing it is, and where it runs: words, not texts.
const WORD_CHARS_MAX: usize = 100;
const ADMIN: Access = Access::Roles(&[Role::Admin]);

/// The routes of this area.
pub(crate) fn register(api: ApiRouter<Door>) -> ApiRouter<Door> {
    api.routes(ADMIN, routes!(add::add_resource))
        .routes(ADMIN, routes!(change::change_resource))
        .routes(ADMIN, routes!(remove::remove_resource))
}

/// A cloud resource.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = ResourceAnswer)]
pub(crate) struct ResourceBody {
    id: Uuid,
    #[schema(example = "Small machine")]
    name: String,
    /// What kind of thing it is.
    #[schema(example = "vm")]
    r#type: String,
    /// Where it runs.
    #[schema(example = "eu-central-1")]
    region: String,
}

impl ResourceBody {
    fn new(id: Uuid, details: Details) -> Self {
        let Details { name, kind, region } = details;
        Self {
            id,
            name,
            r#type: kind,
            region,
        }
    }
}

/// A description with every field checked.
fn check(validation: &mut Validation, wanted: &Details) -> Details {
    Details {
        name: fields::line(validation, "/name", &wanted.name, NAME_CHARS_MAX),
        kind: fields::line(validation, "/type", &wanted.kind, WORD_CHARS_MAX),
        region: fields::line(validation, "/region", &wanted.region, WORD_CHARS_MAX),
    }
}

pub(crate) fn no_such_resource() -> Stop<Refusal> {
    Stop::rejected(Refusal::not_found("there is no such resource"))
}
