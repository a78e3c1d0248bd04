//! The door: every rpc that is served here, health, and reflection, as routes beside those of the API.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::IntoResponse;
use axum::routing::post;
use bytes::Bytes;
use futures::Stream;
use futures::stream::unfold;
use http::Method;
use thiserror::Error;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::server::Grpc;
use tonic::{Response, Status};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tower::{ServiceExt, service_fn};

use crate::codec::Encoded;
use crate::request::Translated;
use crate::rpc::{self, BadProtos, Rpc};
use crate::watch::{First, WAITING_MAX, Watch, is_events};
use crate::{answer, deadline};

/// As over HTTP.
const MESSAGE_BYTES_MAX: usize = 1024 * 1024;
/// A little longer than the API itself takes to say that it has not answered in time.
const CALL_LIMIT: Duration = Duration::from_secs(40);
/// Followers at one moment.
const WATCHERS_MAX: usize = 256;

/// Why there is no door.
#[derive(Debug, Error)]
pub enum DoorError {
    /// The protos say something that cannot be done.
    #[error(transparent)]
    Protos(#[from] BadProtos),
    /// Reflection does not take the descriptors.
    #[error("the descriptors cannot be shown")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// The API over gRPC.
#[derive(Clone)]
pub struct Door {
    api: Router,
    watchers: Arc<Semaphore>,
    closing: CancellationToken,
}

impl Door {
    /// In front of the finished router of the API, its layers included. Streams end when `closing` is cancelled.
    #[must_use]
    pub fn new(api: Router, closing: CancellationToken) -> Self {
        Self {
            api,
            watchers: Arc::new(Semaphore::new(WATCHERS_MAX)),
            closing,
        }
    }

    /// The routes of gRPC, and the API's for everything else. An rpc is served here when the route that it stands for is
    /// one of `served`; what another process serves is told to be unimplemented.
    ///
    /// # Errors
    /// When the protos say something that cannot be done.
    pub fn router(self, served: &[(Method, String)]) -> Result<(Router, Health), DoorError> {
        let (reporter, health) = tonic_health::server::health_reporter();
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(rpc::descriptors())
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .build_v1()?;
        let mut router = Router::new()
            .route_service("/grpc.health.v1.Health/{rpc}", health)
            .route_service("/grpc.reflection.v1.ServerReflection/{rpc}", reflection);
        let mut services = vec![String::new()];
        for rpc in rpc::rpcs()? {
            let here = served
                .iter()
                .any(|(method, path)| rpc.stands_for(method, path));
            let service = rpc.path.split('/').nth(1).unwrap_or_default().to_owned();
            if here && !services.contains(&service) {
                services.push(service);
            }
            let path = rpc.path.clone();
            let (door, rpc) = (self.clone(), Arc::new(rpc));
            router = router.route(
                &path,
                post(move |request: Request| door.call(rpc, here, request)),
            );
        }
        let health = Health { reporter, services };
        Ok((router.fallback_service(self.api), health))
    }

    async fn call(self, rpc: Arc<Rpc>, here: bool, request: Request) -> axum::response::Response {
        if !here {
            let status = Status::unimplemented("not served by this process, see docs/grpc.md");
            return status.into_http::<axum::body::Body>();
        }
        let wanted = deadline::wanted(request.headers());
        let limit = wanted.unwrap_or(CALL_LIMIT).min(CALL_LIMIT);
        let until = wanted.map(|wanted| Instant::now() + wanted);
        let mut grpc = Grpc::new(Encoded).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let answered = async {
            if rpc.streaming {
                let follow = service_fn(|call| self.follow(&rpc, until, call));
                grpc.server_streaming(follow, request).await
            } else {
                let ask = service_fn(|call| self.ask(&rpc, call));
                grpc.unary(ask, request).await
            }
        };
        match tokio::time::timeout(limit, answered).await {
            Ok(response) => response.map(axum::body::Body::new).into_response(),
            Err(_) => Status::deadline_exceeded(
                "not answered in time; the outcome is unknown, so repeat a command with the same idempotency-key",
            )
            .into_http::<axum::body::Body>(),
        }
    }

    async fn put(&self, asked: &Translated) -> axum::response::Response {
        // A router never fails; what goes wrong in a handler is an answer.
        self.api
            .clone()
            .oneshot(asked.request())
            .await
            .unwrap_or_else(|never| match never {})
    }

    async fn ask(&self, rpc: &Rpc, call: tonic::Request<Bytes>) -> Result<Response<Bytes>, Status> {
        let asked = Translated::of(rpc, &call)?;
        let (metadata, body) = answer::json(self.put(&asked).await).await?;
        let mut response = Response::new(answer::message(rpc, body)?);
        *response.metadata_mut() = metadata;
        Ok(response)
    }

    async fn follow(
        &self,
        rpc: &Rpc,
        until: Option<Instant>,
        call: tonic::Request<Bytes>,
    ) -> Result<Response<impl Stream<Item = Result<Bytes, Status>> + Send + 'static + use<>>, Status>
    {
        let asked = Translated::of(rpc, &call)?;
        let place = Arc::clone(&self.watchers)
            .try_acquire_owned()
            .map_err(|_| Status::resource_exhausted("too many follow already"))?;
        let response = self.put(&asked).await;
        let (metadata, first) = if response.status().is_success() && is_events(&response) {
            (
                answer::metadata(response.headers()),
                First::Events(response),
            )
        } else {
            let (metadata, order) = answer::json(response).await?;
            (metadata, First::Order(order))
        };
        let (tell, told) = mpsc::channel(WAITING_MAX);
        let watch = Watch {
            rpc: rpc.clone(),
            api: self.api.clone(),
            asked,
            tell,
            closing: self.closing.clone(),
            until,
            place,
        };
        tokio::spawn(watch.run(first));
        let stream = unfold(told, async |mut told| {
            told.recv().await.map(|message| (message, told))
        });
        let mut response = Response::new(Box::pin(stream));
        *response.metadata_mut() = metadata;
        Ok(response)
    }
}

/// What gRPC's own health service says.
pub struct Health {
    reporter: HealthReporter,
    services: Vec<String>,
}

impl Health {
    /// Of the whole, and of each service of which something is served here.
    pub async fn say(&self, ready: bool) {
        let status = if ready {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        for service in &self.services {
            self.reporter.set_service_status(service, status).await;
        }
    }
}
