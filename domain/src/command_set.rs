//! An aggregate's commands as one enum, a variant per verb, so that `decide` is one match without a wildcard.

/// Declares `Command` from the verbs of a folder; each verb converts into it.
macro_rules! command_set {
    (
        $(#[$doc:meta])*
        pub enum Command { $($(#[$verb_doc:meta])* $verb:ident,)+ }
    ) => {
        $(#[$doc])*
        #[allow(clippy::large_enum_variant, reason = "a command is made, decided and dropped, never stored")]
        #[derive(Debug, Clone, PartialEq)]
        pub enum Command {
            $($(#[$verb_doc])* $verb($verb),)+
        }

        $(impl From<$verb> for Command {
            fn from(command: $verb) -> Self {
                Self::$verb(command)
            }
        })+
    };
}
pub(crate) use command_set;
