//! Collects everything that is wrong with a request, so that the caller hears all of it at once.

use std::borrow::Cow;
use std::fmt::Display;

use http::StatusCode;

use crate::problem::{FieldError, Problem};

/// More than this many errors help nobody and would let one request ask for a large answer.
const MAX_REPORTED_ERRORS: usize = 50;

/// Gathers field errors; [`Validation::finish`] turns them into one 422.
#[derive(Debug, Default)]
pub struct Validation {
    errors: Vec<FieldError>,
    code: Option<Cow<'static, str>>,
    left_out: usize,
}

impl Validation {
    /// Nothing wrong so far.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes a field that cannot be accepted. The answer's own code stays `invalid`.
    pub fn add(
        &mut self,
        pointer: impl Into<String>,
        code: impl Into<Cow<'static, str>>,
        detail: impl Into<String>,
    ) {
        if self.errors.len() >= MAX_REPORTED_ERRORS {
            self.left_out += 1;
            return;
        }
        self.errors.push(FieldError {
            pointer: pointer.into(),
            code: code.into(),
            detail: detail.into(),
        });
    }

    /// Notes a field refused for a reason that has a published code of its own, for example `unknown_product`.
    /// The first such code becomes the code of the whole answer.
    pub fn refuse(
        &mut self,
        pointer: impl Into<String>,
        code: impl Into<Cow<'static, str>>,
        detail: impl Into<String>,
    ) {
        let code = code.into();
        if self.code.is_none() {
            self.code = Some(code.clone());
        }
        self.add(pointer, code, detail);
    }

    /// Takes the value of a parse, or notes why there is none under the code `invalid`.
    pub fn check<T, E: Display>(
        &mut self,
        pointer: impl Into<String>,
        parsed: Result<T, E>,
    ) -> Option<T> {
        match parsed {
            Ok(value) => Some(value),
            Err(why) => {
                self.add(pointer, "invalid", why.to_string());
                None
            }
        }
    }

    /// Whether nothing was wrong so far.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.errors.is_empty()
    }

    /// The 422 that says everything that was noted, or `Ok` when nothing was.
    ///
    /// # Errors
    /// When at least one error was noted.
    pub fn finish(self) -> Result<(), Problem> {
        match self.into_problem() {
            Some(problem) => Err(problem),
            None => Ok(()),
        }
    }

    /// As [`Validation::finish`], handing back `value` when nothing was wrong. A `None` without a noted error is
    /// answered as invalid too, so that a forgotten note can never let a request through.
    ///
    /// # Errors
    /// When at least one error was noted, or there is no value.
    pub fn finish_with<T>(self, value: Option<T>) -> Result<T, Problem> {
        match (self.into_problem(), value) {
            (None, Some(value)) => Ok(value),
            (Some(problem), _) => Err(problem),
            (None, None) => Err(Problem::invalid(Vec::new())),
        }
    }

    fn into_problem(self) -> Option<Problem> {
        if self.errors.is_empty() {
            return None;
        }
        let detail = match (self.errors.as_slice(), self.left_out) {
            ([only], _) => only.detail.clone(),
            (many, 0) => format!("{} fields cannot be accepted", many.len()),
            (many, more) => format!("{} fields cannot be accepted, and {more} more", many.len()),
        };
        let code = self.code.unwrap_or(Cow::Borrowed("invalid"));
        Some(
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code)
                .detail(detail)
                .errors(self.errors),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_is_reported_not_only_the_first() {
        let mut validation = Validation::new();
        let parsed: Option<u32> = validation.check("/a", "x".parse::<u32>());
        assert!(parsed.is_none());
        validation.add("/b", "required", "b is missing");
        let problem = validation.finish().unwrap_err();
        assert_eq!(problem.status(), StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(problem.code(), "invalid");
        let pointers: Vec<_> = problem
            .body()
            .errors
            .iter()
            .map(|error| error.pointer.as_str())
            .collect();
        assert_eq!(pointers, ["/a", "/b"]);
    }

    #[test]
    fn a_published_code_becomes_the_code_of_the_answer() {
        let mut validation = Validation::new();
        validation.add("/phone", "invalid", "not a phone number");
        validation.refuse("/lines/0/product_id", "unknown_product", "no such product");
        validation.refuse("/lines/1", "mixed_partners", "another partner's product");
        let problem = validation.finish().unwrap_err();
        assert_eq!(problem.code(), "unknown_product");
        assert_eq!(problem.body().errors.len(), 3);
    }

    #[test]
    fn a_clean_validation_lets_the_value_through() {
        assert_eq!(Validation::new().finish_with(Some(7)).unwrap(), 7);
        assert!(Validation::new().finish().is_ok());
    }

    #[test]
    fn no_value_without_a_noted_error_is_still_refused() {
        assert_eq!(
            Validation::new()
                .finish_with(None::<u8>)
                .unwrap_err()
                .status(),
            StatusCode::UNPROCESSABLE_ENTITY
        );
    }

    #[test]
    fn the_list_of_errors_is_bounded() {
        let mut validation = Validation::new();
        for index in 0..200 {
            validation.add(format!("/{index}"), "invalid", "no");
        }
        let problem = validation.finish().unwrap_err();
        assert_eq!(problem.body().errors.len(), MAX_REPORTED_ERRORS);
        assert!(
            problem
                .body()
                .detail
                .as_deref()
                .unwrap()
                .contains("150 more")
        );
    }
}
