//! The read side: worker, checkpoints, rebuild, read models and their queries.
