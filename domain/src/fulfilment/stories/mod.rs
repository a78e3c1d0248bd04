//! The saga's stories. Each input of each story is delivered twice, each history is folded anew and each state passes
//! through a snapshot: the shop in `fixtures` sees to it. `faults` breaks every step of the step table in every way.

mod ahead;
mod back;
mod closed;
mod contradicting;
mod explained;
mod faults;
mod hold_expiry;
mod late;
mod operator;
mod stuck;
mod unsettled;
