//! Every rpc of the protos with the HTTP route that it stands for.

use http::Method;
use prost_reflect::{DescriptorPool, MessageDescriptor, MethodDescriptor};
use thiserror::Error;

const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/waybill.bin"));
const ROUTE: &str = "waybill.v1.route";

/// The protos say something that the door cannot do; found at the first start, and by a test before that.
#[derive(Debug, Error)]
pub enum BadProtos {
    /// They cannot be read back.
    #[error("the descriptors of the protos cannot be read")]
    Unreadable(#[from] prost_reflect::DescriptorError),
    /// An rpc does not say which route it stands for.
    #[error("{0} has no route, or one that is not of the form `GET /v1/things`")]
    NoRoute(String),
    /// A route asks for a field that the request does not have.
    #[error("{rpc}: its request has no field `{field}`, which its route asks for")]
    NoField {
        /// The rpc.
        rpc: String,
        /// The missing field.
        field: String,
    },
}

/// One rpc.
#[derive(Debug, Clone)]
pub struct Rpc {
    /// Its path, for example `/waybill.v1.OrderService/GetOrder`.
    pub path: String,
    /// The method of its route.
    pub method: Method,
    /// Its route, for example `/v1/orders/{order_id}`.
    pub route: String,
    /// What it takes.
    pub input: MessageDescriptor,
    /// What it answers, or each message of its answer.
    pub output: MessageDescriptor,
    /// Whether it answers more than one message.
    pub streaming: bool,
}

impl Rpc {
    /// Whether a route of the HTTP API is the one it stands for, however its parameters are called there.
    #[must_use]
    pub fn stands_for(&self, method: &Method, path: &str) -> bool {
        let same = |(ours, theirs): (&str, &str)| {
            ours == theirs || (ours.starts_with('{') && theirs.starts_with('{'))
        };
        self.method == method
            && self.route.split('/').count() == path.split('/').count()
            && self.route.split('/').zip(path.split('/')).all(same)
    }

    /// The field that holds the whole answer, when the response is made so.
    pub(crate) fn whole(&self) -> Option<String> {
        let mut fields = self.output.fields();
        let first = fields.next()?;
        let message = first.kind().as_message().is_some() && !first.is_list();
        (message && fields.next().is_none()).then(|| first.name().to_owned())
    }

    fn of(method: &MethodDescriptor, pool: &DescriptorPool) -> Result<Self, BadProtos> {
        let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
        let said = pool.get_extension_by_name(ROUTE).and_then(|option| {
            let options = method.options();
            options.get_extension(&option).as_str().map(str::to_owned)
        });
        let parsed = said.as_deref().and_then(|route| {
            let (verb, route) = route.split_once(' ')?;
            let verb = Method::from_bytes(verb.as_bytes()).ok()?;
            route.starts_with('/').then(|| (verb, route.to_owned()))
        });
        let (verb, route) = parsed.ok_or_else(|| BadProtos::NoRoute(path.clone()))?;
        let rpc = Self {
            path,
            method: verb,
            route,
            input: method.input(),
            output: method.output(),
            streaming: method.is_server_streaming(),
        };
        for field in parameters(&rpc.route) {
            if rpc.input.get_field_by_name(field).is_none() {
                return Err(BadProtos::NoField {
                    rpc: rpc.path.clone(),
                    field: field.to_owned(),
                });
            }
        }
        Ok(rpc)
    }
}

/// The names in braces.
pub(crate) fn parameters(route: &str) -> impl Iterator<Item = &str> {
    route
        .split('/')
        .filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
}

/// The protos with everything that they import, encoded; what reflection shows.
#[must_use]
pub fn descriptors() -> &'static [u8] {
    DESCRIPTORS
}

/// Every rpc.
///
/// # Errors
/// When the protos say something that cannot be done.
pub fn rpcs() -> Result<Vec<Rpc>, BadProtos> {
    let pool = DescriptorPool::decode(DESCRIPTORS)?;
    pool.services()
        .flat_map(|service| service.methods().collect::<Vec<_>>())
        .map(|method| Rpc::of(&method, &pool))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_can_tell_questions_from_commands_by_the_name() {
        for rpc in rpcs().unwrap() {
            let name = rpc.path.rsplit('/').next().unwrap();
            let asks = ["Get", "List", "Watch"]
                .iter()
                .any(|word| name.starts_with(word));
            assert_eq!(asks, rpc.method == Method::GET, "{}", rpc.path);
        }
    }

    #[test]
    fn a_route_is_the_same_whatever_its_parameters_are_called() {
        let all = rpcs().unwrap();
        let get = all
            .iter()
            .find(|rpc| rpc.path.ends_with("/GetOrder"))
            .unwrap();
        assert!(get.stands_for(&Method::GET, "/v1/orders/{id}"));
        assert!(!get.stands_for(&Method::GET, "/v1/orders/{id}/history"));
        assert!(!get.stands_for(&Method::POST, "/v1/orders/{id}"));
    }
}
