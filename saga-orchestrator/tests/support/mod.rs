//! Real servers for the tests: a payment sandbox over HTTP on a Postgres of its own.
#![allow(dead_code, reason = "each test binary uses its own part of the support")]

pub mod sandbox;
