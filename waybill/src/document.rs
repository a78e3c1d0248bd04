//! What only the whole knows of its parts: the document of the whole API.

use utoipa::openapi::OpenApi;

/// The document of the whole API, whichever role serves it.
pub fn openapi() -> OpenApi {
    command_api::openapi().merge_from(projector::openapi())
}
