//! Servers and a deployment on them.

use std::sync::Arc;

use dev_servers::{NatsCluster, NatsServer, Postgres};
use event_store::JetStreamStore;
use testkit::{Deployment, Layout, Market, Servers};
use tokio::sync::{Mutex, MutexGuard};

use crate::WAYBILL;

/// One deployment at a time.
static TURN: Mutex<()> = Mutex::const_new(());

/// One broker or three.
pub enum Broker {
    One(Arc<NatsServer>),
    Three(Arc<NatsCluster>),
}

impl Broker {
    pub async fn one() -> Self {
        Self::One(Arc::new(
            blocking(|| NatsServer::temporary().unwrap()).await,
        ))
    }

    /// Three of them, every acknowledged write on their disks.
    pub async fn three() -> Self {
        Self::Three(Arc::new(blocking(|| NatsCluster::start(3).unwrap()).await))
    }

    pub fn url(&self) -> String {
        match self {
            Self::One(server) => server.url(),
            Self::Three(cluster) => cluster.url(),
        }
    }

    pub fn server(&self) -> &Arc<NatsServer> {
        match self {
            Self::One(server) => server,
            Self::Three(_) => panic!("there are three brokers"),
        }
    }

    pub fn cluster(&self) -> &Arc<NatsCluster> {
        match self {
            Self::One(_) => panic!("there is one broker"),
            Self::Three(cluster) => cluster,
        }
    }
}

/// A shop that runs, and all that it stands on. The processes end before their servers.
pub struct Stage {
    pub deployment: Deployment,
    pub market: Market,
    pub broker: Broker,
    pub postgres: Arc<Postgres>,
    _turn: MutexGuard<'static, ()>,
}

impl Stage {
    pub async fn on(broker: impl Future<Output = Broker>, layout: Layout) -> Self {
        let postgres = async { blocking(|| Postgres::temporary().unwrap()).await };
        Self::over(broker, postgres, layout).await
    }

    pub async fn over(
        broker: impl Future<Output = Broker>,
        postgres: impl Future<Output = Postgres>,
        layout: Layout,
    ) -> Self {
        Self::when_prepared(broker, postgres, layout, async |deployment| {
            deployment.operator(&["migrate"]).await;
            deployment.launch_all();
            deployment.ready().await;
        })
        .await
    }

    /// A shop whose processes and servers are brought together by the test itself.
    pub async fn when_prepared(
        broker: impl Future<Output = Broker>,
        postgres: impl Future<Output = Postgres>,
        layout: Layout,
        prepare: impl AsyncFnOnce(&mut Deployment),
    ) -> Self {
        let turn = TURN.lock().await;
        let (broker, postgres) = tokio::join!(broker, postgres);
        let servers = Servers {
            nats: broker.url(),
            database: postgres.url(),
            sandbox_database: dev_servers::fresh_database().await.unwrap(),
        };
        let mut deployment = Deployment::prepare(WAYBILL, servers, layout);
        prepare(&mut deployment).await;
        let market = Market::open(&deployment).await;
        Self {
            deployment,
            market,
            broker,
            postgres: Arc::new(postgres),
            _turn: turn,
        }
    }

    /// A look at the broker, past the shop.
    pub async fn client(&self) -> async_nats::Client {
        let urls: Vec<async_nats::ServerAddr> = self
            .broker
            .url()
            .split(',')
            .map(|url| url.parse().unwrap())
            .collect();
        async_nats::connect(urls).await.unwrap()
    }

    /// The log, past the shop.
    pub async fn log(&self) -> JetStreamStore {
        let client = self.client().await;
        testkit::within("the log can be opened", || async {
            JetStreamStore::connect(client.clone()).await.ok()
        })
        .await
    }

    /// The shop's database, past the shop.
    pub async fn database(&self) -> sqlx::PgPool {
        sqlx::PgPool::connect(&self.postgres.url()).await.unwrap()
    }
}

/// Starting and stopping servers blocks.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}
