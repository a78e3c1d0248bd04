//! Three (or more) nats-servers in one cluster, for what differs between one server and several.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{
    error::StartError,
    nats::{ClusterSettings, NatsServer},
    port::ReservedPort,
};

const SOFTWARE: &str = "nats-server cluster";
/// Routes are made and a leader is elected within this time.
const LEADER_LIMIT: Duration = Duration::from_secs(60);
const LEADER_POLL: Duration = Duration::from_millis(50);

/// A cluster of nats-servers with JetStream and temporary data, every acknowledged write on the disk.
#[derive(Debug)]
pub struct NatsCluster {
    servers: Vec<NatsServer>,
    // Held so that no other process takes them while a member is down.
    _routes: Vec<ReservedPort>,
    _monitoring: Vec<ReservedPort>,
}

impl NatsCluster {
    /// Starts `size` servers and waits until JetStream works on every one.
    pub fn start(size: usize) -> Result<Self, StartError> {
        let pick = || {
            (0..size)
                .map(|_| ReservedPort::pick().ok_or(StartError::NoFreePort { software: SOFTWARE }))
                .collect::<Result<Vec<_>, _>>()
        };
        let routes = pick()?;
        let monitoring = pick()?;
        let ports: Vec<_> = routes.iter().map(ReservedPort::number).collect();
        let servers = (0..size)
            .map(|index| {
                NatsServer::temporary_with(|mut options| {
                    options.monitoring_port = Some(monitoring[index].number());
                    options.cluster = Some(ClusterSettings {
                        server_name: format!("n{}", index + 1),
                        port: ports[index],
                        routes: ports.clone(),
                    });
                    options
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let cluster = Self {
            servers,
            _routes: routes,
            _monitoring: monitoring,
        };
        cluster.wait_until_healthy()?;
        Ok(cluster)
    }

    /// The members; each can be killed, paused and restarted by itself.
    #[must_use]
    pub fn servers(&self) -> &[NatsServer] {
        &self.servers
    }

    /// The members' addresses separated by commas, as clients and settings take them.
    #[must_use]
    pub fn url(&self) -> String {
        let urls: Vec<_> = self.servers.iter().map(NatsServer::url).collect();
        urls.join(",")
    }

    /// Waits until every member says that its JetStream is current, which needs a leader.
    pub fn wait_until_healthy(&self) -> Result<(), StartError> {
        let deadline = Instant::now() + LEADER_LIMIT;
        for server in &self.servers {
            while let Err(last) = server.health() {
                if Instant::now() >= deadline {
                    return Err(StartError::NotReady {
                        software: SOFTWARE,
                        limit_s: LEADER_LIMIT.as_secs(),
                        last,
                        log: server.log_path(),
                        tail: server.log_tail(),
                    });
                }
                thread::sleep(LEADER_POLL);
            }
        }
        Ok(())
    }
}
