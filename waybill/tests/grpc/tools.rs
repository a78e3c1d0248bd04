//! What generic tools need: reflection and health.

use grpc_door::rpcs;
use testkit::{Shop, within};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::channel;

pub async fn a_generic_client_finds_every_service_and_its_health(shop: &Shop) {
    let channel = channel(&shop.url()).await;
    let mut reflection = ServerReflectionClient::new(channel.clone());
    let ask = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut answers = reflection
        .server_reflection_info(futures::stream::iter([ask]))
        .await
        .unwrap()
        .into_inner();
    let answer = answers.message().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(listed)) = answer.message_response else {
        panic!("{answer:?}");
    };
    let listed: Vec<String> = listed
        .service
        .into_iter()
        .map(|service| service.name)
        .collect();
    assert!(listed.contains(&"grpc.health.v1.Health".to_owned()));
    let mut health = HealthClient::new(channel);
    for rpc in rpcs().unwrap() {
        let service = rpc.path.split('/').nth(1).unwrap().to_owned();
        assert!(listed.contains(&service), "{service} of {listed:?}");
        let says = within("serving", || {
            let mut health = health.clone();
            let service = service.clone();
            async move {
                let answer = health.check(HealthCheckRequest { service }).await.ok()?;
                (answer.into_inner().status == i32::from(ServingStatus::Serving)).then_some(())
            }
        });
        says.await;
    }
    let unknown = health
        .check(HealthCheckRequest {
            service: "waybill.v1.Nothing".into(),
        })
        .await;
    assert_eq!(unknown.unwrap_err().code(), tonic::Code::NotFound);
}
