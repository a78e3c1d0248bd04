//! Lists in Stripe's manner: newest first, `limit`, `starting_after`, a range of `created`, `has_more`.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{error::ApiError, form::Form, id};

const LIMIT_DEFAULT: i64 = 10;
const LIMIT_MAX: i64 = 100;

/// The parameters that every list knows.
pub(crate) const PARAMETERS: [&str; 3] = ["limit", "starting_after", "created"];

/// Which part of a list is asked for.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) limit: i64,
    pub(crate) starting_after: Option<String>,
    /// Created at or after this moment.
    pub(crate) from: Option<Timestamp>,
    /// Created before this moment.
    pub(crate) until: Option<Timestamp>,
}

impl Page {
    pub(crate) fn parse(form: &Form) -> Result<Self, ApiError> {
        let limit = form.integer("limit")?.unwrap_or(LIMIT_DEFAULT);
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(ApiError::parameter(
                "parameter_invalid_integer",
                "limit",
                format!("'limit' must be from 1 to {LIMIT_MAX}."),
            ));
        }
        let starting_after = form.text("starting_after")?.map(str::to_owned);
        if let Some(after) = &starting_after
            && !id::is_plausible(after)
        {
            return Err(ApiError::no_such_parameter(
                "object",
                after,
                "starting_after",
            ));
        }
        let (from, until) = created(form)?;
        Ok(Self {
            limit,
            starting_after,
            from,
            until,
        })
    }

    /// One more than is shown, to know whether there is more.
    pub(crate) fn fetch(&self) -> i64 {
        self.limit + 1
    }

    /// The list object over what was fetched.
    pub(crate) fn list(&self, url: &str, mut objects: Vec<Value>) -> Value {
        let shown = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let has_more = objects.len() > shown;
        objects.truncate(shown);
        json!({ "object": "list", "url": url, "has_more": has_more, "data": objects })
    }
}

/// `created` is in whole seconds, a ledger's moments are finer: a bound means the whole second.
fn created(form: &Form) -> Result<(Option<Timestamp>, Option<Timestamp>), ApiError> {
    if form.entries("created").is_empty() {
        let exact = form.integer("created")?;
        return Ok((
            exact.map(|second| moment(second, "created")).transpose()?,
            exact.map(|second| after(second, "created")).transpose()?,
        ));
    }
    for entry in form.entries("created") {
        if !["created[gt]", "created[gte]", "created[lt]", "created[lte]"].contains(&entry.as_str())
        {
            return Err(ApiError::parameter(
                "parameter_unknown",
                &entry,
                "'created' knows the bounds gt, gte, lt and lte.",
            ));
        }
    }
    let gte = form
        .integer("created[gte]")?
        .map(|second| moment(second, "created[gte]"))
        .transpose()?;
    let gt = form
        .integer("created[gt]")?
        .map(|second| after(second, "created[gt]"))
        .transpose()?;
    let lt = form
        .integer("created[lt]")?
        .map(|second| moment(second, "created[lt]"))
        .transpose()?;
    let lte = form
        .integer("created[lte]")?
        .map(|second| after(second, "created[lte]"))
        .transpose()?;
    let from = [gte, gt].into_iter().flatten().max();
    let until = [lt, lte].into_iter().flatten().min();
    Ok((from, until))
}

fn moment(second: i64, param: &str) -> Result<Timestamp, ApiError> {
    Timestamp::from_second(second).map_err(|_| {
        ApiError::parameter(
            "parameter_invalid_integer",
            param,
            format!("'{param}' must be a Unix time in seconds."),
        )
    })
}

fn after(second: i64, param: &str) -> Result<Timestamp, ApiError> {
    moment(second.saturating_add(1), param)
}
