//! The declarative access table: a router built here has a rule for every route, enforced and listed.

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use http::Method;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, OpenApi};
use utoipa::{PartialSchema, ToSchema};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use super::caller::{Authentication, Role};
use super::described;
use crate::problem::{FieldError, Problem};

/// The name of the bearer scheme in the OpenAPI document.
const BEARER_SCHEME: &str = "bearer";

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everybody, signed in or not.
    Public,
    /// Everybody who is signed in, whatever his role.
    Authenticated,
    /// Callers with one of these roles.
    Roles(&'static [Role]),
    /// Whoever holds a shared secret: the handler checks the signature of the request itself.
    Signed,
}

/// One line of the access table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteRule {
    /// The HTTP method.
    pub method: Method,
    /// The route as it is written, for example `/v1/orders/{id}`.
    pub path: String,
    /// Who may use it.
    pub access: Access,
}

/// Routes with their rules and their OpenAPI document. There is no way to add a route without a rule.
pub struct ApiRouter<S = ()> {
    inner: OpenApiRouter<S>,
    rules: Vec<RouteRule>,
}

impl<S: Clone + Send + Sync + 'static> ApiRouter<S> {
    /// No routes yet; `document` carries title, version and tags.
    #[must_use]
    pub fn new(document: OpenApi) -> Self {
        Self {
            inner: OpenApiRouter::with_openapi(document),
            rules: Vec::new(),
        }
    }

    /// Adds what [`routes!`](utoipa_axum::routes) collects from annotated handlers, all under one rule.
    /// Handlers of one path with different rules are added one by one.
    #[must_use]
    pub fn routes(mut self, access: Access, routes: UtoipaMethodRouter<S>) -> Self {
        let (schemas, mut paths, method_router) = routes;
        for (path, item) in &mut paths.paths {
            for (method, operation) in operations(item) {
                document_rule(operation, access);
                self.rules.push(RouteRule {
                    method,
                    path: path.clone(),
                    access,
                });
            }
        }
        let guarded = method_router.route_layer(from_fn(move |request: Request, next: Next| {
            enforce(access, request, next)
        }));
        self.inner = self.inner.routes((schemas, paths, guarded));
        self
    }

    /// Says something of every operation so far: what all handlers of a service have in common.
    #[must_use]
    pub fn each_operation(mut self, mut say: impl FnMut(&str, &mut Operation)) -> Self {
        for (path, item) in &mut self.inner.get_openapi_mut().paths.paths {
            for (_, operation) in operations(item) {
                say(path, operation);
            }
        }
        self
    }

    /// Takes over the routes of another router.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        self.inner = self.inner.merge(other.inner);
        self.rules.extend(other.rules);
        self
    }

    /// Gives the handlers their state.
    #[must_use]
    pub fn with_state<S2>(self, state: S) -> ApiRouter<S2> {
        ApiRouter {
            inner: self.inner.with_state(state),
            rules: self.rules,
        }
    }

    /// The access table: method, path and rule of every route.
    #[must_use]
    pub fn access_table(&self) -> &[RouteRule] {
        &self.rules
    }

    /// The plain router, its document and its access table.
    pub fn into_parts(self) -> (Router<S>, OpenApi, Vec<RouteRule>) {
        let (router, mut document) = self.inner.split_for_parts();
        for (path, item) in &mut document.paths.paths {
            for (method, operation) in operations(item) {
                let rule = self
                    .rules
                    .iter()
                    .find(|rule| rule.method == method && rule.path == *path);
                if let Some(rule) = rule {
                    described::describe(operation, path, rule.access);
                }
            }
        }
        complete(&mut document);
        (router, document, self.rules)
    }
}

async fn enforce(access: Access, request: Request, next: Next) -> Response {
    match allowed(access, &request) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

fn allowed(access: Access, request: &Request) -> Result<(), Problem> {
    match access {
        Access::Public | Access::Signed => Ok(()),
        Access::Authenticated => Authentication::of(request.extensions())?
            .required()
            .map(|_| ()),
        Access::Roles(roles) => Authentication::of(request.extensions())?
            .required()?
            .require(roles),
    }
}

/// Every operation of a path with its method. Query and trace are not methods of this API.
fn operations(item: &mut PathItem) -> Vec<(Method, &mut Operation)> {
    [
        (Method::GET, &mut item.get),
        (Method::PUT, &mut item.put),
        (Method::POST, &mut item.post),
        (Method::DELETE, &mut item.delete),
        (Method::OPTIONS, &mut item.options),
        (Method::HEAD, &mut item.head),
        (Method::PATCH, &mut item.patch),
    ]
    .into_iter()
    .filter_map(|(method, operation)| operation.as_mut().map(|found| (method, found)))
    .collect()
}

fn document_rule(operation: &mut Operation, access: Access) {
    match access {
        Access::Public | Access::Signed => {}
        Access::Authenticated | Access::Roles(_) => require_bearer(operation),
    }
}

fn require_bearer(operation: &mut Operation) {
    operation
        .security
        .get_or_insert_with(Vec::new)
        .push(SecurityRequirement::new(
            BEARER_SCHEME,
            std::iter::empty::<String>(),
        ));
}

/// Adds what the rules above refer to.
fn complete(document: &mut OpenApi) {
    let components = document
        .components
        .get_or_insert_with(|| ComponentsBuilder::new().build());
    components
        .schemas
        .insert(Problem::name().into_owned(), Problem::schema());
    components
        .schemas
        .insert(FieldError::name().into_owned(), FieldError::schema());
    components.add_security_scheme(
        BEARER_SCHEME,
        SecurityScheme::Http(
            HttpBuilder::new()
                .scheme(HttpAuthScheme::Bearer)
                .bearer_format("JWT")
                .build(),
        ),
    );
}
