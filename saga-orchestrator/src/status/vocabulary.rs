//! What this build can read of a saga, told in one short word, so that the next start need not read every history again
//! to know that it can.

use std::sync::LazyLock;

use event_schema::fulfilment;
use event_schema::ids::derived;
use event_schema::payment;
use event_schema::{EventSet, Recorded};

/// The same for two builds that know the same events of sagas and payments in the same versions.
pub(crate) fn vocabulary() -> &'static str {
    static WORD: LazyLock<String> = LazyLock::new(|| {
        let types = |set: &'static [(&'static str, u16)]| {
            set.iter()
                .map(|(event_type, version)| format!("{event_type} {version}"))
        };
        let known: Vec<String> = types(fulfilment::Event::TYPES)
            .chain(types(payment::Event::TYPES))
            .collect();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let mut word = derived(&known).simple().to_string();
        word.truncate(8);
        word
    });
    &WORD
}

/// Whether this build knows an event of a saga or of a payment, in its version.
pub(crate) fn knows(event: &Recorded) -> bool {
    fulfilment::Event::TYPES
        .iter()
        .chain(payment::Event::TYPES)
        .any(|(event_type, newest)| {
            event.event_type == *event_type && event.schema_version <= *newest
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_is_short_and_the_same_each_time() {
        assert_eq!(vocabulary().len(), 8);
        assert_eq!(vocabulary(), vocabulary());
    }
}
