//! Scenarios and faults for tests.
