//! The accept loop: HTTP/1 and HTTP/2 on one port, limits on connections and headers, a graceful and bounded end.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::response::Response;
use http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::health::Readiness;
use crate::shutdown::Shutdown;

/// Open requests have this long to end after the shutdown began.
pub const DRAIN_LIMIT: Duration = Duration::from_secs(10);
/// Connections at one moment; more wait in the system's queue.
const MAX_CONNECTIONS: usize = 4_096;
/// A client that sends its headers more slowly is cut off; so is an idle connection that sends none. Longer than the
/// minute after which proxies let go of an idle connection: the one who lets go first must be the one who sends.
const HEADER_READ_LIMIT: Duration = Duration::from_secs(75);
const MAX_HEADERS: usize = 100;
const MAX_HEADER_BYTES: usize = 64 * 1024;
const MAX_HTTP2_HEADER_BYTES: u32 = 64 * 1024;
const MAX_HTTP2_STREAMS: u32 = 256;
const HTTP2_PING_PERIOD: Duration = Duration::from_secs(20);
const HTTP2_PING_LIMIT: Duration = Duration::from_secs(10);
/// After a failed accept (too many open files) the next try waits, instead of turning a core hot.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// Serves until the shutdown begins, then lets open requests end for at most ten seconds.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    readiness: Readiness,
    shutdown: &Shutdown,
) {
    serve_and_drain(listener, router, readiness, shutdown, DRAIN_LIMIT).await;
}

async fn serve_and_drain(
    listener: TcpListener,
    router: Router,
    readiness: Readiness,
    shutdown: &Shutdown,
    drain_limit: Duration,
) {
    let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let graceful = GracefulShutdown::new();
    let cut_off = CancellationToken::new();
    let builder = connection_builder();
    loop {
        let Some((stream, peer, permit)) =
            unless_ended(shutdown, next_connection(&listener, &connections)).await
        else {
            break;
        };
        let connection = builder
            .serve_connection_with_upgrades(TokioIo::new(stream), service(router.clone(), peer))
            .into_owned();
        let watched = graceful.watch(connection);
        let cut_off = cut_off.clone();
        tokio::spawn(async move {
            tokio::select! {
                ended = watched => {
                    if let Err(error) = ended {
                        tracing::debug!(%peer, error, "connection ended with an error");
                    }
                }
                () = cut_off.cancelled() => {}
            }
            drop(permit);
        });
    }
    readiness.drain();
    drop(listener);
    let open = graceful.count();
    if tokio::time::timeout(drain_limit, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!(
            connections = open,
            "some requests had not ended {} s after the shutdown began; cutting them off",
            drain_limit.as_secs()
        );
        cut_off.cancel();
    }
}

async fn unless_ended<T>(shutdown: &Shutdown, wait: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        () = shutdown.begun() => None,
        done = wait => Some(done),
    }
}

async fn next_connection(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, Option<OwnedSemaphorePermit>) {
    // The semaphore is never closed, so there always is a permit in the end.
    let permit = Arc::clone(connections).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Small answers leave at once; a socket that refuses the option still works.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%peer, %error, "cannot switch off Nagle's algorithm");
                }
                return (stream, peer, permit);
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection, trying again");
                tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
            }
        }
    }
}

fn connection_builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_READ_LIMIT)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEADER_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(MAX_HTTP2_HEADER_BYTES)
        .max_concurrent_streams(MAX_HTTP2_STREAMS)
        .keep_alive_interval(HTTP2_PING_PERIOD)
        .keep_alive_timeout(HTTP2_PING_LIMIT);
    builder
}

/// The router as a service of one connection, which tells every request who is at the other end.
fn service(
    router: Router,
    peer: SocketAddr,
) -> TowerToHyperService<
    impl tower::Service<
        Request<Incoming>,
        Response = Response,
        Error = Infallible,
        Future: Send + 'static,
    > + Clone
    + Send
    + 'static,
> {
    TowerToHyperService::new(tower::service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        router.clone().oneshot(request)
    }))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use axum::routing::get;
    use tokio::sync::Notify;

    use super::*;

    const SHORT_DRAIN: Duration = Duration::from_millis(300);

    struct Running {
        url: String,
        shutdown: Shutdown,
        readiness: Readiness,
        ended: tokio::task::JoinHandle<()>,
    }

    async fn run(router: Router) -> Running {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (shutdown, readiness) = (Shutdown::new(), Readiness::new());
        let (stop, ready) = (shutdown.clone(), readiness.clone());
        let ended = tokio::spawn(async move {
            serve_and_drain(listener, router, ready, &stop, SHORT_DRAIN).await;
        });
        Running {
            url,
            shutdown,
            readiness,
            ended,
        }
    }

    #[tokio::test]
    async fn an_open_request_is_answered_although_the_shutdown_began_and_a_new_one_is_not_taken() {
        let (entered, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (tell, wait) = (Arc::clone(&entered), Arc::clone(&go_on));
        let server = run(Router::new().route(
            "/slow",
            get(move || async move {
                tell.notify_one();
                wait.notified().await;
                "done"
            }),
        ))
        .await;
        let url = format!("{}/slow", server.url);
        let answer = tokio::spawn(async move { reqwest::get(url).await.unwrap().text().await });
        entered.notified().await;
        server.shutdown.begin();
        // The listener is closed before the drain begins, so that others take what comes now.
        while !server
            .readiness
            .report()
            .await
            .iter()
            .any(|(_, said)| said.is_err())
        {
            tokio::task::yield_now().await;
        }
        let refused = reqwest::get(&server.url).await;
        go_on.notify_one();
        assert_eq!(answer.await.unwrap().unwrap(), "done");
        assert!(refused.is_err());
        server.ended.await.unwrap();
    }

    #[tokio::test]
    async fn an_answer_without_end_does_not_keep_the_server_from_ending() {
        let server = run(Router::new().route(
            "/endless",
            get(|| async {
                let endless = futures::stream::pending::<Result<bytes::Bytes, std::io::Error>>();
                Body::from_stream(endless)
            }),
        ))
        .await;
        let endless = reqwest::get(format!("{}/endless", server.url))
            .await
            .unwrap();
        let began = Instant::now();
        server.shutdown.begin();
        tokio::time::timeout(Duration::from_secs(5), server.ended)
            .await
            .unwrap()
            .unwrap();
        assert!(began.elapsed() >= SHORT_DRAIN);
        assert!(endless.bytes().await.is_err(), "it was cut off");
    }

    #[tokio::test]
    async fn an_idle_connection_does_not_hold_up_the_end() {
        let server = run(Router::new().route("/", get(|| async { "ok" }))).await;
        let client = reqwest::Client::new();
        client
            .get(&server.url)
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        let began = Instant::now();
        server.shutdown.begin();
        server.ended.await.unwrap();
        assert!(began.elapsed() < SHORT_DRAIN);
    }
}
