//! A way to the broker that can be cut: bytes are passed on until they are not, and nobody is told.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A way that leads to one address.
pub struct Way {
    pub url: String,
    open: Arc<watch::Sender<bool>>,
}

impl Way {
    /// A way to a server, such as `nats://127.0.0.1:4222`.
    pub async fn to(url: &str) -> Self {
        let target = url.trim_start_matches("nats://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let way = Self {
            url: format!("nats://{}", listener.local_addr().unwrap()),
            open: Arc::new(watch::channel(true).0),
        };
        let open = Arc::clone(&way.open);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let (target, open) = (target.clone(), open.subscribe());
                tokio::spawn(async move {
                    let Ok(far) = TcpStream::connect(target).await else {
                        return;
                    };
                    let (near_in, near_out) = near.into_split();
                    let (far_in, far_out) = far.into_split();
                    tokio::join!(
                        carry(near_in, far_out, open.clone()),
                        carry(far_in, near_out, open)
                    );
                });
            }
        });
        way
    }

    /// From now on nothing passes, in either direction, and no connection is closed: as in a network that is split.
    pub fn cut(&self) {
        self.open.send_replace(false);
    }

    /// What waited passes again.
    pub fn mend(&self) {
        self.open.send_replace(true);
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut open: watch::Receiver<bool>) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        if open.wait_for(|open| *open).await.is_err() {
            return;
        }
        let read = tokio::select! {
            read = from.read(&mut buffer) => read,
            changed = open.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
        };
        let Ok(read @ 1..) = read else { return };
        if open.wait_for(|open| *open).await.is_err()
            || to.write_all(&buffer[..read]).await.is_err()
        {
            return;
        }
    }
}
