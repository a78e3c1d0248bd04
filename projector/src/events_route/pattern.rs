//! Which events are asked for: a subject of a history, or the beginning of one.

use event_schema::Subject;
use service_kit::Problem;
use service_kit::problem::FieldError;

/// Every history.
const ALL: &str = "evt.>";
/// `evt`, the aggregate, the bucket, the id.
const TOKENS_MAX: usize = 4;

/// Reads the parameter `subject`. Only histories: the records of done commands and unique values are no events of
/// anything, and a wildcard in the middle would have the broker look at every subject there is.
pub(super) fn read(subject: Option<&str>) -> Result<String, Problem> {
    let Some(subject) = subject else {
        return Ok(ALL.to_owned());
    };
    if subject
        .parse::<Subject>()
        .is_ok_and(|it| it.aggregate().is_some())
    {
        return Ok(subject.to_owned());
    }
    let tokens: Vec<&str> = subject.split('.').collect();
    let fits = match tokens.as_slice() {
        ["evt", middle @ .., ">"] => {
            middle.len() < TOKENS_MAX - 1 && middle.iter().all(|t| plain(t))
        }
        ["evt", middle @ .., "*"] => {
            middle.len() == TOKENS_MAX - 2 && middle.iter().all(|t| plain(t))
        }
        _ => false,
    };
    if fits {
        return Ok(subject.to_owned());
    }
    Err(Problem::invalid(vec![FieldError {
        pointer: "/subject".into(),
        code: "invalid".into(),
        detail: format!(
            "{:?} is no subject of an event: write one history (evt.order.<bucket>.<id>, the bucket being the last two \
             hex digits of the id) or a beginning with a wildcard as its last part (evt.>, evt.order.>, evt.order.3f.>)",
            subject.chars().take(100).collect::<String>()
        ),
    }]))
}

fn plain(token: &str) -> bool {
    !token.is_empty()
        && token
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_and_the_beginning_of_one_can_be_asked_for() {
        assert_eq!(read(None).unwrap(), "evt.>");
        for good in [
            "evt.>",
            "evt.order.>",
            "evt.stray_callback.>",
            "evt.order.3f.>",
            "evt.order.3f.*",
            "evt.order.f3.01890a5d-ac96-774b-bcce-b302099a80f3",
        ] {
            assert_eq!(read(Some(good)).unwrap(), good);
        }
    }

    #[test]
    fn records_other_subjects_and_wildcards_in_the_middle_are_refused_by_name() {
        for bad in [
            ">",
            "evt",
            "evt.order",
            "evt.*.>",
            "evt.*",
            "evt.order.*.01890a5d-ac96-774b-bcce-b302099a80f3",
            "evt.order.f4.01890a5d-ac96-774b-bcce-b302099a80f3",
            "evt.order.3f.x.>",
            "evt.or der.>",
            "evt..>",
            "done.>",
            "uniq.email.>",
            "$KV.saga_status.>",
        ] {
            let problem = read(Some(bad)).unwrap_err();
            assert_eq!(
                (problem.status().as_u16(), problem.code()),
                (422, "invalid"),
                "{bad}"
            );
            assert!(
                problem.to_string().contains("/subject")
                    || problem.body().errors[0].pointer == "/subject"
            );
        }
    }
}
