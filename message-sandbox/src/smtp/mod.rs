//! A mail server: strict where senders go wrong (line ends, order of commands), generous in whom it takes mail for. It
//! speaks plain SMTP with SIZE, 8BITMIME, SMTPUTF8 and PIPELINING; nothing it takes is passed on.

mod conversation;
mod mail;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use service_kit::Shutdown;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::Sandbox;
use conversation::{Conversation, Step};

const CONNECTIONS_MAX: usize = 512;
/// A client that says nothing for so long is cut off.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// Of a mail's text too: longer lines are no mail.
const LINE_BYTES_MAX: u64 = 64 * 1024;
/// After a failed accept (too many open files) the next try waits.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// Takes mail until the shutdown begins; open conversations end with the process or by themselves.
pub(crate) async fn serve(sandbox: &Sandbox, listener: TcpListener, shutdown: &Shutdown) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = tokio::select! {
            () = shutdown.begun() => return,
            accepted = listener.accept() => accepted,
        };
        let socket = match accepted {
            Ok((socket, _)) => socket,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a mail client, trying again");
                tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            // It is closed at once; the client comes back later.
            continue;
        };
        let (sandbox, until) = (sandbox.clone(), shutdown.clone());
        tokio::spawn(async move {
            tokio::select! {
                ended = converse(&sandbox, socket) => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "a mail client went away");
                    }
                }
                () = until.begun() => {}
            }
            drop(place);
        });
    }
}

async fn converse(sandbox: &Sandbox, socket: TcpStream) -> io::Result<()> {
    // Small answers leave at once.
    socket.set_nodelay(true)?;
    let (reader, mut writer) = socket.into_split();
    let mut reader = BufReader::new(reader);
    let mut conversation = Conversation::new(sandbox);
    writer.write_all(conversation::GREETING.as_bytes()).await?;
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut limited = (&mut reader).take(LINE_BYTES_MAX);
        match timeout(IDLE_MAX, limited.read_until(b'\n', &mut line)).await {
            Ok(Ok(0)) => return Ok(()),
            Ok(read) => read?,
            Err(_) => {
                writer.write_all(conversation::IDLE.as_bytes()).await?;
                return Ok(());
            }
        };
        if line.last() != Some(&b'\n') {
            writer.write_all(conversation::TOO_LONG.as_bytes()).await?;
            return Ok(());
        }
        match conversation.line(&line) {
            Step::Silent => {}
            Step::Say(reply) => writer.write_all(reply.as_bytes()).await?,
            Step::SayLater(reply, latency) => {
                tokio::time::sleep(latency).await;
                writer.write_all(reply.as_bytes()).await?;
            }
            Step::End(reply) => {
                writer.write_all(reply.as_bytes()).await?;
                return writer.shutdown().await;
            }
            Step::HangUp => return Ok(()),
        }
    }
}
