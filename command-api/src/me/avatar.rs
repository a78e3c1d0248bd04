//! PUT /v1/me/avatar: somebody shows a picture of himself. The file is stored before the event names it, so whoever
//! reads the event finds the file.

use axum::extract::State;
use serde::Serialize;
use tokio::time::timeout;
use utoipa::ToSchema;
use uuid::Uuid;

use domain::customer::{Command as Wanted, Customer, SetAvatar, State as Account};
use event_store::{Freshness, Stop, Work};
use service_kit::idempotency::IdempotencyKey;
use service_kit::{Caller, Problem};

use crate::answer::Answer;
use crate::documents::{
    AccountClosed, CommandProblems, IfMatchOptional, KeyOptional, NotFound, PictureProblems, Stale,
};
use crate::door::{Door, LOG_LIMIT};
use crate::if_match::IfMatch;
use crate::pictures::{MEDIA_TYPE, Picture, SIDE_PIXELS, Upload};
use crate::problem;

/// The form.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "only describes the form, which is read as a stream"
)]
pub(crate) struct AvatarForm {
    /// A PNG, JPEG or WebP file of at most 5 MiB and 8000 pixels a side.
    #[schema(format = Binary, content_media_type = "application/octet-stream")]
    avatar: String,
}

/// The picture as it is kept.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Avatar)]
pub(crate) struct AvatarBody {
    /// SHA-256 of the file in hex; the `ETag` of `GET /v1/me/avatar`.
    digest: String,
    /// What the file is.
    #[schema(example = "image/webp")]
    media_type: &'static str,
    /// Width in pixels.
    #[schema(example = 400)]
    width: u32,
    /// Height in pixels.
    #[schema(example = 400)]
    height: u32,
    /// Size of the file in bytes.
    size: usize,
}

impl From<&Picture> for AvatarBody {
    fn from(picture: &Picture) -> Self {
        Self {
            digest: picture.digest.clone(),
            media_type: MEDIA_TYPE,
            width: SIDE_PIXELS,
            height: SIDE_PIXELS,
            size: picture.bytes.len(),
        }
    }
}

/// Shows a picture of the caller. It is cut to a square, made small and drawn anew: nothing but its pixels is kept. The
/// picture before is shown until this one is.
#[utoipa::path(
    put,
    path = "/v1/me/avatar",
    tag = "me",
    operation_id = "set_avatar",
    params(KeyOptional, IfMatchOptional),
    request_body(content = AvatarForm, content_type = "multipart/form-data"),
    responses(
        (status = 200, description = "The caller has this picture; sending the same again changes nothing",
            body = AvatarBody, headers(
            ("ETag" = String, description = "The customer's version"),
            ("Waybill-Position" = u64, description = "Where in the log this became true"),
        )),
        NotFound, AccountClosed, Stale, CommandProblems, PictureProblems,
    ),
)]
pub(crate) async fn set_avatar(
    State(door): State<Door>,
    caller: Caller,
    key: Option<IdempotencyKey>,
    if_match: IfMatch,
    Upload(file): Upload,
) -> Result<Answer<AvatarBody>, Problem> {
    let id = caller.subject;
    // Asked first, so that nothing is stored for somebody who is not there.
    open(account(&door, id).await?)?;
    let picture = door.studio.redraw(file).await?;
    let command = door.command("me.avatar", &caller, key.as_ref(), &picture.digest)?;
    let Picture { digest, bytes } = &picture;
    door.pictures.put(id, digest, bytes.clone()).await?;
    let set = SetAvatar {
        digest: digest.clone(),
        media_type: MEDIA_TYPE.to_owned(),
    };
    let decide = |work: &mut Work| {
        if !command.has_happened(work)? {
            let known = work.state::<Customer>(id)?;
            let same = known.details().and_then(|known| known.avatar.as_ref()) == Some(digest);
            if !same {
                if_match
                    .check(work.version::<Customer>(id)?)
                    .map_err(Stop::rejected)?;
            }
            work.decide::<Customer>(id, Wanted::SetAvatar(set.clone()))?;
        }
        work.version::<Customer>(id).map_err(Stop::from)
    };
    let executed = match door.execute(&command, decide).await {
        Ok(executed) => executed,
        Err(problem) => {
            // Erased while the picture was on its way. What else was stored for nothing is tidied up later.
            if problem.status().is_client_error()
                && matches!(account(&door, id).await?, Account::Erased)
            {
                door.pictures.remove_all(id).await?;
            }
            return Err(problem);
        }
    };
    // The very picture may have been replaced long ago and removed just now.
    if door.pictures.stored_at(id, digest).await?.is_none() {
        let known = account(&door, id).await?;
        if known.details().and_then(|known| known.avatar.as_ref()) == Some(digest) {
            door.pictures.put(id, digest, bytes.clone()).await?;
        }
    }
    Ok(Answer::ok(AvatarBody::from(&picture))
        .at(executed.position)
        .version(executed.value))
}

async fn account(door: &Door, id: Uuid) -> Result<Account, Problem> {
    let load = door.executor.load::<Customer>(id, Freshness::Leader);
    match timeout(LOG_LIMIT, load).await {
        Ok(loaded) => Ok((*loaded.map_err(problem::of_load)?.state).clone()),
        Err(_) => Err(Problem::broker_unavailable()),
    }
}

fn open(account: Account) -> Result<(), Problem> {
    match account {
        Account::Added(_) => Ok(()),
        Account::Deactivated(_) => Err(problem::account_closed()),
        Account::NotAdded | Account::Erased => Err(Problem::not_found("there is no such customer")),
    }
}
