//! The saga's stories. Each input of each story is delivered twice, each history is folded anew and each state passes
//! through a snapshot: the shop in `fixtures` sees to it.

mod ahead;
mod back;
mod late;
mod stuck;
mod unsettled;
