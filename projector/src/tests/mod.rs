//! What holds for every projection: nothing lost or doubled, whatever dies; rows that can always be made again; and
//! answers that say what they are.

mod access;
mod broker;
mod fixtures;
mod freshness;
mod log_changes;
mod paging;
mod parking;
mod replays;
mod takeover;
