//! From a name to addresses that may be called.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::address::{Nets, NotPublic, not_public};

/// Where names are looked up.
#[async_trait]
pub trait Lookup: Send + Sync + 'static {
    /// The addresses of a name.
    ///
    /// # Errors
    /// When there are none, or nobody can tell.
    async fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// The system's own resolver.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemLookup;

#[async_trait]
impl Lookup for SystemLookup {
    async fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let found = tokio::net::lookup_host((name, 0)).await?;
        Ok(found.map(|address| address.ip()).collect())
    }
}

/// Why a name leads nowhere.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    /// Every address of it is somebody's house.
    #[error(transparent)]
    Address(NotPublic),
    /// It leads to the internet, and only an allowed network may be called in this way.
    #[error("it leads out of WAYBILL_WEBHOOK_ALLOW_NETS")]
    Outside,
    #[error("the name has no address")]
    Unknown,
}

/// Where a client may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// To the internet and the allowed networks.
    Anywhere,
    /// To the allowed networks.
    Inside,
}

/// Hands out nothing but what may be called: the client connects to exactly these.
#[derive(Clone)]
pub(super) struct Judging {
    lookup: Arc<dyn Lookup>,
    allowed: Nets,
    reach: Reach,
}

impl Judging {
    pub(super) fn new(lookup: Arc<dyn Lookup>, allowed: Nets, reach: Reach) -> Self {
        Self {
            lookup,
            allowed,
            reach,
        }
    }

    async fn judge(self, name: Name) -> Result<Addrs, Box<dyn std::error::Error + Send + Sync>> {
        let found = self.lookup.addresses(name.as_str()).await?;
        let mut refused = Refused::Unknown;
        let mut good = Vec::with_capacity(found.len());
        for address in found {
            if self.allowed.allow(address) {
                good.push(address);
            } else if let Some(not) = not_public(address) {
                refused = Refused::Address(not);
            } else if self.reach == Reach::Inside {
                refused = Refused::Outside;
            } else {
                good.push(address);
            }
        }
        if good.is_empty() {
            return Err(refused.into());
        }
        // The port is the URL's.
        Ok(Box::new(
            good.into_iter().map(|address| SocketAddr::new(address, 0)),
        ))
    }
}

impl Resolve for Judging {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(self.clone().judge(name))
    }
}
