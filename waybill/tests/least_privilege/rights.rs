//! Who may do what on the brokers: every user tries everything.

use event_store::topology;
use serde_json::{Value, json};

use crate::brokers::Brokers;
use crate::probe::Probe;
use crate::probe::Try::{self, Publish, Serve, Subscribe};

const DEPLOYER: &str = "deployer";
const MOVER: &str = "mover";
const COMMANDS: &str = "command-api";
const PROJECTOR: &str = "projector";
const SAGAS: &str = "saga-orchestrator";
const NOTIFIER: &str = "notifier";
const OPERATOR: &str = "operator";
const USERS: [&str; 7] = [
    DEPLOYER, MOVER, COMMANDS, PROJECTOR, SAGAS, NOTIFIER, OPERATOR,
];

/// What can be tried, and who may. Nobody else.
#[rustfmt::skip]
const RIGHTS: &[(&str, Try, &[&str])] = &[
    // The log is written by who decides, and only what he decides about.
    ("append to an order", Publish("evt.order.aa.1"), &[COMMANDS, SAGAS, MOVER]),
    ("append to a payment", Publish("evt.payment.aa.1"), &[COMMANDS, SAGAS, MOVER]),
    ("append to a saga", Publish("evt.fulfilment.aa.1"), &[COMMANDS, SAGAS, MOVER]),
    ("append to a product's stock", Publish("evt.inventory.aa.1"), &[COMMANDS, SAGAS, MOVER]),
    ("append to a customer", Publish("evt.customer.aa.1"), &[COMMANDS, NOTIFIER, MOVER]),
    ("append to a partner", Publish("evt.partner.aa.1"), &[COMMANDS, NOTIFIER, MOVER]),
    ("append to messages", Publish("evt.notification.aa.1"), &[COMMANDS, NOTIFIER, MOVER]),
    ("set an agent of messages", Publish("evt.notification_agent.aa.1"), &[COMMANDS, MOVER]),
    ("append to a price", Publish("evt.offer.aa.1"), &[COMMANDS, MOVER]),
    ("claim a unique value", Publish("uniq.email.1"), &[COMMANDS, MOVER]),
    ("note that a command has happened", Publish("done.1"), &[COMMANDS, SAGAS, MOVER]),

    // It is read by who works with it.
    ("read a message from the leader", Publish("$JS.API.STREAM.MSG.GET.EVENTS"), &[COMMANDS, PROJECTOR, SAGAS, NOTIFIER, OPERATOR, MOVER]),
    ("read a history from the nearest server", Publish("$JS.API.DIRECT.GET.EVENTS"), &[COMMANDS, PROJECTOR, SAGAS, NOTIFIER, OPERATOR, MOVER]),
    ("make a reader of the log", Publish("$JS.API.CONSUMER.CREATE.EVENTS.reader-1"), &[PROJECTOR, NOTIFIER, OPERATOR, MOVER, DEPLOYER]),
    ("read by a reader", Publish("$JS.API.CONSUMER.MSG.NEXT.EVENTS.reader-1"), &[PROJECTOR, NOTIFIER, OPERATOR]),
    ("hear events past the log", Subscribe("evt.>"), &[]),
    ("hear everything", Subscribe(">"), &[]),

    // Streams and consumers are made, changed and removed by the deployer.
    ("look at the stream", Publish("$JS.API.STREAM.INFO.EVENTS"), &USERS),
    ("look at a saga's consumer", Publish("$JS.API.CONSUMER.INFO.EVENTS.fulfilment-0"), &USERS),
    ("change the stream", Publish("$JS.API.STREAM.UPDATE.EVENTS"), &[DEPLOYER, MOVER]),
    ("change a bucket", Publish("$JS.API.STREAM.UPDATE.KV_saga_status"), &[DEPLOYER]),
    ("delete the stream", Publish("$JS.API.STREAM.DELETE.EVENTS"), &[DEPLOYER]),
    ("delete a bucket", Publish("$JS.API.STREAM.DELETE.KV_quotes"), &[DEPLOYER]),
    ("purge the stream", Publish("$JS.API.STREAM.PURGE.EVENTS"), &[DEPLOYER]),
    ("purge a bucket", Publish("$JS.API.STREAM.PURGE.KV_quotes"), &[DEPLOYER]),
    ("delete an event", Publish("$JS.API.STREAM.MSG.DELETE.EVENTS"), &[]),
    ("put an older log in its place", Publish("$JS.API.STREAM.RESTORE.EVENTS"), &[]),
    ("carry the log away whole", Publish("$JS.API.STREAM.SNAPSHOT.EVENTS"), &[]),
    ("move the stream's leader", Publish("$JS.API.STREAM.LEADER.STEPDOWN.EVENTS"), &[]),
    ("make another stream", Publish("$JS.API.STREAM.CREATE.OTHER"), &[DEPLOYER, MOVER]),
    ("change a saga's consumer", Publish("$JS.API.CONSUMER.CREATE.EVENTS.fulfilment-a"), &[DEPLOYER, MOVER]),
    ("change a saga's consumer by its filter", Publish("$JS.API.CONSUMER.CREATE.EVENTS.fulfilment-a.evt.order.>"), &[DEPLOYER]),
    ("change a consumer without naming it", Publish("$JS.API.CONSUMER.CREATE.EVENTS"), &[]),
    ("change a consumer as old clients do", Publish("$JS.API.CONSUMER.DURABLE.CREATE.EVENTS.fulfilment-a"), &[]),
    ("delete a consumer", Publish("$JS.API.CONSUMER.DELETE.EVENTS.nobody"), &[DEPLOYER]),
    ("pause a consumer", Publish("$JS.API.CONSUMER.PAUSE.EVENTS.nobody"), &[]),
    ("reset a consumer", Publish("$JS.API.CONSUMER.RESET.EVENTS.nobody"), &[]),

    // What feeds the sagas is theirs.
    ("take a saga's input", Publish("$JS.API.CONSUMER.MSG.NEXT.EVENTS.fulfilment-7"), &[SAGAS]),
    ("say that a saga's input was worked", Publish("$JS.ACK.EVENTS.fulfilment-7.1.1.1.1.0"), &[SAGAS]),
    ("take a share away from its owner", Publish("$JS.API.CONSUMER.UNPIN.EVENTS.fulfilment-7"), &[SAGAS]),

    // Buckets.
    ("keep a quote", Publish("$KV.quotes.1"), &[COMMANDS]),
    ("read a quote", Publish("$JS.API.DIRECT.GET.KV_quotes.$KV.quotes.1"), &[COMMANDS, OPERATOR]),
    ("read a quote from the leader", Publish("$JS.API.STREAM.MSG.GET.KV_quotes"), &[COMMANDS, OPERATOR]),
    ("keep a snapshot", Publish("$KV.snapshots.order.1"), &[COMMANDS, SAGAS, NOTIFIER]),
    ("read a snapshot", Publish("$JS.API.DIRECT.GET.KV_snapshots"), &[COMMANDS, SAGAS, NOTIFIER, OPERATOR]),
    ("show where a saga stands", Publish("$KV.saga_status.fulfilment.1"), &[SAGAS]),
    ("own a share", Publish("$KV.saga_status._owner.a"), &[SAGAS]),
    ("see where a saga stands", Publish("$JS.API.DIRECT.GET.KV_saga_status.$KV.saga_status.fulfilment.1"), &[SAGAS, OPERATOR]),
    ("take ended sagas off the list", Publish("$JS.API.STREAM.PURGE.KV_saga_status"), &[SAGAS, DEPLOYER]),
    ("read all sagas", Publish("$JS.API.CONSUMER.CREATE.KV_saga_status"), &[SAGAS]),
    ("watch all sagas", Publish("$JS.API.CONSUMER.CREATE.KV_saga_status.w.$KV.saga_status.>"), &[OPERATOR, DEPLOYER]),
    ("point a saga out to people", Publish("$KV.saga_attention.fulfilment.poisoned.1"), &[SAGAS]),
    ("watch what needs a person", Publish("$JS.API.CONSUMER.CREATE.KV_saga_attention.w.$KV.saga_attention.>"), &[OPERATOR, DEPLOYER]),
    ("lead the notifiers", Publish("$KV.notifier.leader"), &[NOTIFIER]),
    ("see who leads the notifiers", Publish("$JS.API.DIRECT.GET.KV_notifier.$KV.notifier.leader"), &[NOTIFIER, OPERATOR]),
    ("hear a bucket past its stream", Subscribe("$KV.saga_status.>"), &[]),

    // Services are offered by one role each, and used by operators and by who forwards to them.
    ("offer commands", Serve("cmd.orders.place", "q"), &[COMMANDS]),
    ("listen in on commands", Subscribe("cmd.orders.place"), &[]),
    ("offer the desk of sagas", Serve("saga.retry", "q"), &[SAGAS]),
    ("listen in on the desk of sagas", Subscribe("saga.retry"), &[]),
    ("offer the desk of projections", Serve("projections.rebuild", "q"), &[PROJECTOR]),
    ("offer the desk of messages", Serve("notifications.replay", "q"), &[NOTIFIER]),
    ("pose as the service of messages", Subscribe("$SRV.INFO.notifications"), &[NOTIFIER]),
    ("tell whose a notification is", Serve("inbox.find", "q"), &[PROJECTOR]),
    ("listen in on whose notifications are asked for", Subscribe("inbox.find"), &[]),
    ("pose as the service of inboxes", Subscribe("$SRV.PING.inbox"), &[PROJECTOR]),
    ("ask whose a notification is", Publish("inbox.find"), &[COMMANDS]),
    ("pose as the service of sagas", Subscribe("$SRV.INFO.saga"), &[SAGAS]),
    ("pose as the service of commands", Subscribe("$SRV.STATS.commands.1"), &[COMMANDS]),
    ("pose as the service of projections", Subscribe("$SRV.PING.projections"), &[PROJECTOR]),
    ("answer whether it is there", Subscribe("$SRV.PING"), &[COMMANDS, PROJECTOR, SAGAS, NOTIFIER]),
    ("ask who is there", Publish("$SRV.PING"), &[OPERATOR, MOVER]),
    ("ask the desk of sagas", Publish("saga.list"), &[OPERATOR, COMMANDS]),
    ("ask the desk of projections", Publish("projections.rebuild"), &[OPERATOR, COMMANDS]),
    ("ask the desk of messages", Publish("notifications.replay"), &[OPERATOR, COMMANDS]),
    ("send a command past the front door", Publish("cmd.orders.place"), &[]),
    ("tell what became of a saga", Publish("saga.advisory.completed.fulfilment.1"), &[SAGAS]),
    ("hear what becomes of sagas", Subscribe("saga.advisory.>"), &[OPERATOR]),
    ("hear what the broker says of itself", Subscribe("$JS.EVENT.ADVISORY.>"), &[OPERATOR]),

    // Answers reach who asked, and nobody else.
    ("read the deployer's answers", Subscribe("_INBOX_migrate.>"), &[DEPLOYER, MOVER]),
    ("read the command-api's answers", Subscribe("_INBOX_command_api.>"), &[COMMANDS]),
    ("read the projector's answers", Subscribe("_INBOX_projector.>"), &[PROJECTOR]),
    ("read the saga-orchestrator's answers", Subscribe("_INBOX_saga_orchestrator.>"), &[SAGAS]),
    ("read the notifier's answers", Subscribe("_INBOX_notifier.>"), &[NOTIFIER]),
    ("read the operator's answers", Subscribe("_INBOX_operator.>"), &[OPERATOR]),
    ("read anybody's answers", Subscribe("_INBOX.>"), &[]),
    ("answer an operator", Publish("_INBOX_operator.1"), &[PROJECTOR, SAGAS, NOTIFIER]),
    ("answer the deployer", Publish("_INBOX_migrate.1"), &[]),

    // The servers themselves are nobody's business here.
    ("ask the servers about themselves", Publish("$SYS.REQ.SERVER.PING"), &[]),
    ("hear who connects", Subscribe("$SYS.ACCOUNT.>"), &[]),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_user_may_do_his_part_and_nothing_else() {
    let brokers = Brokers::start(1).await;
    let deployer = brokers.connect(DEPLOYER, "migrate").await;
    topology::migrate(&deployer, 3).await.unwrap();

    let mut wrong = Vec::new();
    for user in USERS {
        let password = brokers.secrets.broker_password(user);
        let mut probe = Probe::connect(brokers.ports[0], user, &password).await;
        for (what, attempt, allowed) in RIGHTS {
            let may = probe.may(*attempt).await;
            if may != allowed.contains(&user) {
                let is = if may { "may" } else { "may not" };
                wrong.push(format!("{user} {is} {what} ({attempt:?})"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // Nothing that was tried has changed what has to be there.
    topology::verify(&deployer, 3).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_cannot_become_somebody_elses_consumer_by_what_its_body_says() {
    let brokers = Brokers::start(1).await;
    let deployer = brokers.connect(DEPLOYER, "migrate").await;
    topology::migrate(&deployer, 3).await.unwrap();
    let projector = brokers.connect(PROJECTOR, "projector").await;
    for disguise in [
        json!({"name": "fulfilment-0", "ack_policy": "none"}),
        json!({"durable_name": "fulfilment-0", "ack_policy": "none"}),
        json!({"name": "fulfilment-0", "durable_name": "fulfilment-0", "ack_policy": "none"}),
    ] {
        let request = json!({"stream_name": topology::EVENTS, "config": disguise});
        let answer = projector
            .request(
                "$JS.API.CONSUMER.CREATE.EVENTS.reader-1",
                request.to_string().into(),
            )
            .await
            .unwrap();
        let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
        assert!(
            answer["error"].is_object() || answer["name"] == "reader-1",
            "{disguise}: {answer}"
        );
    }
    // Every share's consumer is as it was made.
    topology::verify(&deployer, 3).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_in_without_the_right_password() {
    let brokers = Brokers::start(1).await;
    let refused = |user: &'static str, password: String| {
        let addresses = brokers.addresses("nats");
        async move {
            let options = async_nats::ConnectOptions::with_user_and_password(user.into(), password);
            let error = options.connect(addresses).await.unwrap_err();
            assert_eq!(
                error.kind(),
                async_nats::ConnectErrorKind::AuthorizationViolation
            );
        }
    };
    refused(OPERATOR, brokers.secrets.broker_password(PROJECTOR)).await;
    refused("route", brokers.secrets.route_password()).await;
    let nameless = async_nats::connect(brokers.addresses("nats")).await;
    assert!(nameless.is_err());
}
