//! Which subjects a person may name.

use anyhow::ensure;

/// Sees that a subject or pattern is one of the log's; the broker would only say that nothing was found.
pub fn check(pattern: &str) -> anyhow::Result<()> {
    let tokens: Vec<&str> = pattern.split('.').collect();
    let family = tokens
        .first()
        .is_some_and(|first| ["evt", "uniq", "done"].contains(first));
    let tail = tokens.iter().position(|token| *token == ">");
    let well_formed = tokens.len() > 1
        && tail.is_none_or(|at| at + 1 == tokens.len())
        && tokens.iter().all(|token| {
            !token.is_empty()
                && token.chars().all(|c| c.is_ascii_graphic())
                && (token.len() == 1 || !token.contains(['*', '>']))
        });
    ensure!(
        family && well_formed,
        "{pattern:?} is no subject of the log; write evt.>, evt.order.> or a whole subject"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_and_patterns_of_the_log_pass_and_others_are_named() {
        for good in [
            "evt.>",
            "evt.order.>",
            "evt.order.*.x",
            "done.>",
            "uniq.email.ab",
            "evt.*",
        ] {
            check(good).unwrap();
        }
        for bad in [
            "", "evt", ">", "evt..x", "evt.>.x", "orders.>", "evt.or*", "evt.a b", "$JS.>",
        ] {
            assert!(check(bad).unwrap_err().to_string().contains(bad), "{bad}");
        }
    }
}
