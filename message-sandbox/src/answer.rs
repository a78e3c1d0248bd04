//! What all doors over HTTP do with a call: its fate is looked up, the message kept, the answer held back.

use axum::body::Body;
use axum::response::Response;
use futures::stream;

use crate::Sandbox;
use crate::fault::{Failure, Fate};
use crate::message::Message;
use crate::store::Kept;

/// What a door says in its own language.
pub(crate) trait Language {
    /// The message is taken.
    fn taken(&self, message: &Message) -> Response;
    /// Another message came under this key.
    fn other_content(&self) -> Response {
        self.unavailable()
    }
    /// Come back later.
    fn too_many(&self) -> Response;
    /// Out of order.
    fn unavailable(&self) -> Response;
    /// Refused for good.
    fn rejected(&self) -> Response;
    /// The address is dead.
    fn dead(&self) -> Response;
}

/// Takes a message, as far as nothing is ordered to fail.
pub(crate) async fn answer(
    sandbox: &Sandbox,
    message: Message,
    language: &impl Language,
) -> Response {
    let Fate {
        failure,
        latency,
        dead,
    } = sandbox.faults().of(message.channel, &message.to);
    let answer = match failure {
        _ if dead => language.dead(),
        Some(Failure::TooMany) => language.too_many(),
        Some(Failure::Unavailable) => language.unavailable(),
        Some(Failure::Reject) => language.rejected(),
        Some(Failure::DropBefore) => dropped(),
        Some(Failure::DropAfter) | None => {
            let answer = match sandbox.store().keep(message) {
                Ok(Kept::New(message) | Kept::Known(message)) => language.taken(&message),
                Ok(Kept::OtherContent) => language.other_content(),
                Err(error) => {
                    tracing::error!(%error, "a message cannot be kept");
                    language.unavailable()
                }
            };
            if failure.is_some() { dropped() } else { answer }
        }
    };
    tokio::time::sleep(latency).await;
    answer
}

/// An answer whose body fails before its first byte: the server closes the connection without even a status line.
fn dropped() -> Response {
    let broken = stream::once(async {
        Err::<bytes::Bytes, _>(std::io::Error::from(std::io::ErrorKind::ConnectionAborted))
    });
    Response::new(Body::from_stream(broken))
}
