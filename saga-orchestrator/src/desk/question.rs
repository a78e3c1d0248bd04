//! What somebody wants of the desk: plain words as one types them, or JSON as programs send it, and headers with both.
//!
//! `nats req saga.retry '<order id> refund' -H Command-Id:4711 -H Reason:'the bank is back'`

use async_nats::HeaderMap;
use domain::fulfilment::{Action, OperatorVerb, Truth};
use event_schema::Actor;
use event_schema::fulfilment::Step;
use event_schema::ids::{CommandId, derived};
use serde::Deserialize;
use uuid::Uuid;

use super::refusal::Refusal;
use crate::status::ascii;

/// A body beyond this is no question to the desk.
const BODY_BYTES_MAX: usize = 16 * 1024;
const ACTOR_CHARS_MAX: usize = 100;
const STEPS: [Step; 7] = [
    Step::Authorise,
    Step::Hold,
    Step::Capture,
    Step::Commit,
    Step::Void,
    Step::Release,
    Step::Refund,
];

/// Who asks, when nobody says.
const SOMEBODY: &str = "operator";

/// What somebody wants of the desk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Question {
    first: Option<String>,
    status: Option<String>,
    step: Option<String>,
    outcome: Option<String>,
    evidence: Option<String>,
    reason: Option<String>,
    dry_run: bool,
    command_id: Option<String>,
    actor: Option<String>,
    pub(super) wants_json: bool,
}

/// The same as JSON; other members are passed over.
#[derive(Deserialize)]
struct Body {
    order_id: Option<String>,
    status: Option<String>,
    step: Option<String>,
    outcome: Option<String>,
    evidence: Option<String>,
    reason: Option<String>,
    dry_run: Option<bool>,
    command_id: Option<String>,
    actor: Option<String>,
}

impl Question {
    /// Reads a request.
    pub(super) fn read(payload: &[u8], headers: Option<&HeaderMap>) -> Result<Self, Refusal> {
        if payload.len() > BODY_BYTES_MAX {
            return Err(Refusal::BadRequest(format!(
                "the request is longer than {BODY_BYTES_MAX} bytes"
            )));
        }
        let text = std::str::from_utf8(payload)
            .map_err(|_| Refusal::BadRequest("the request is not text".into()))?;
        let text = text.trim();
        let mut question = if text.starts_with('{') {
            Self::of_json(text)?
        } else {
            Self::of_words(text)
        };
        let header = |name: &str| {
            let value = headers?.iter().find(|(known, _)| {
                let known: &str = known.as_ref();
                known.eq_ignore_ascii_case(name)
            });
            let value = value?.1.first()?.as_str().trim().to_owned();
            (!value.is_empty()).then_some(value)
        };
        question.command_id = question.command_id.or_else(|| header("Command-Id"));
        question.reason = question.reason.or_else(|| header("Reason"));
        question.actor = question.actor.or_else(|| header("Actor"));
        question.outcome = question.outcome.or_else(|| header("Outcome"));
        question.evidence = question.evidence.or_else(|| header("Evidence"));
        question.dry_run |= match header("Dry-Run").as_deref() {
            None | Some("0" | "false" | "no") => false,
            Some("1" | "true" | "yes") => true,
            Some(other) => {
                return Err(Refusal::BadRequest(format!(
                    "Dry-Run is 1 or 0, not {other:?}"
                )));
            }
        };
        question.wants_json =
            header("Accept").is_some_and(|accept| accept.contains("application/json"));
        Ok(question)
    }

    fn of_json(text: &str) -> Result<Self, Refusal> {
        let body: Body = serde_json::from_str(text).map_err(|error| {
            Refusal::BadRequest(format!(
                "the request is not the JSON that is wanted: {error}"
            ))
        })?;
        Ok(Self {
            first: body.order_id,
            status: body.status,
            step: body.step,
            outcome: body.outcome,
            evidence: body.evidence,
            reason: body.reason,
            dry_run: body.dry_run.unwrap_or(false),
            command_id: body.command_id,
            actor: body.actor,
            wants_json: false,
        })
    }

    /// `<order id> [step] [outcome] [evidence in any number of words]`, or a status.
    fn of_words(text: &str) -> Self {
        let mut left = text;
        let mut next = || {
            let (word, rest) = left.split_once(char::is_whitespace).unwrap_or((left, ""));
            left = rest.trim_start();
            (!word.is_empty()).then(|| word.to_owned())
        };
        let (first, step, outcome) = (next(), next(), next());
        Self {
            status: first.clone(),
            first,
            step,
            outcome,
            evidence: (!left.is_empty()).then(|| left.to_owned()),
            ..Self::default()
        }
    }

    /// The status that is asked for.
    pub(super) fn status(&self) -> Option<&str> {
        self.status.as_deref()
    }

    /// The order that is asked about; also as the buckets spell it.
    pub(super) fn order(&self) -> Result<Uuid, Refusal> {
        let named = self.first.as_deref().ok_or_else(|| {
            Refusal::BadRequest("name the order, such as saga.show <order id>".into())
        })?;
        let id = named.strip_prefix("fulfilment.").unwrap_or(named);
        id.parse()
            .map_err(|_| Refusal::BadRequest(format!("{named:?} is not an order's id")))
    }

    /// Whether it is only asked what would happen.
    pub(super) fn is_dry_run(&self) -> bool {
        self.dry_run
    }

    /// What is ordered.
    pub(super) fn action(&self, verb: OperatorVerb) -> Result<Action, Refusal> {
        let step = match &self.step {
            None => None,
            Some(word) => Some(parse_step(word)?),
        };
        let needed = |step: Option<Step>| {
            step.ok_or_else(|| {
                Refusal::BadRequest(format!(
                    "name the step too, such as saga.{verb} <order id> refund"
                ))
            })
        };
        Ok(match verb {
            OperatorVerb::Retry => Action::Retry { step },
            OperatorVerb::Skip => Action::Skip {
                step: needed(step)?,
            },
            OperatorVerb::Resolve => Action::Resolve {
                step: needed(step)?,
                truth: self.truth()?,
                evidence: self.evidence.clone().unwrap_or_default(),
            },
            OperatorVerb::Abort => Action::Abort,
            OperatorVerb::Close => Action::Close,
        })
    }

    fn truth(&self) -> Result<Truth, Refusal> {
        match self.outcome.as_deref() {
            Some("ok") => Ok(Truth::Ok),
            Some("refused") => Ok(Truth::Refused),
            other => Err(Refusal::BadRequest(format!(
                "say what became of it: outcome is ok or refused, not {}",
                other.unwrap_or("nothing")
            ))),
        }
    }

    /// Why, in the operator's words. A dry run needs no reason.
    pub(super) fn reason(&self) -> String {
        match &self.reason {
            Some(reason) => reason.clone(),
            None if self.dry_run => "(dry run)".into(),
            None => String::new(),
        }
    }

    /// The command's id: a UUID as it is, any other text as the UUID that it always stands for.
    pub(super) fn command_id(&self) -> Result<CommandId, Refusal> {
        match self.command_id.as_deref() {
            Some(text) => Ok(CommandId(
                Uuid::parse_str(text).unwrap_or_else(|_| derived(&["saga.command", text])),
            )),
            None if self.dry_run => Ok(CommandId(Uuid::now_v7())),
            None => Err(Refusal::CommandIdMissing),
        }
    }

    /// Who orders it, as it is recorded: a role and an id as the front door names them, or an operator by name.
    pub(super) fn actor(&self) -> Actor {
        let Some(named) = &self.actor else {
            return Actor::from(SOMEBODY.to_owned());
        };
        let name: String = ascii::plain_line(named)
            .chars()
            .take(ACTOR_CHARS_MAX)
            .collect();
        Actor::from(if name.contains(':') {
            name
        } else {
            format!("{SOMEBODY}:{name}")
        })
    }
}

fn parse_step(word: &str) -> Result<Step, Refusal> {
    let known = STEPS.into_iter().find(|step| step.as_str() == word);
    known.ok_or_else(|| {
        let names: Vec<&str> = STEPS.iter().map(|step| step.as_str()).collect();
        Refusal::BadRequest(format!(
            "{word:?} is not a step; there are {}",
            names.join(", ")
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDER: Uuid = Uuid::from_u128(7);

    fn read(body: &str, headers: &[(&str, &str)]) -> Result<Question, Refusal> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, *value);
        }
        Question::read(body.as_bytes(), Some(&map))
    }

    #[test]
    fn a_question_is_plain_words_or_json() {
        let plain = read(&format!("fulfilment.{ORDER} refund"), &[]).unwrap();
        let json = read(&format!(r#"{{"order_id":"{ORDER}","step":"refund"}}"#), &[]).unwrap();
        for question in [plain, json] {
            assert_eq!(question.order(), Ok(ORDER));
            assert_eq!(
                question.action(OperatorVerb::Skip),
                Ok(Action::Skip { step: Step::Refund })
            );
        }
        assert_eq!(read("running", &[]).unwrap().status(), Some("running"));
        assert_eq!(read("", &[]).unwrap().status(), None);
        assert_eq!(read("{}", &[]).unwrap().status(), None);
    }

    #[test]
    fn what_is_not_understood_is_said() {
        for bad in ["{", r#"{"dry_run":"yes"}"#, r#"{"order_id":4}"#] {
            assert!(
                matches!(read(bad, &[]), Err(Refusal::BadRequest(_))),
                "{bad}"
            );
        }
        assert!(matches!(
            Question::read(&[0xff, 0xfe], None),
            Err(Refusal::BadRequest(_))
        ));
        assert!(matches!(
            Question::read(&vec![b'a'; BODY_BYTES_MAX + 1], None),
            Err(Refusal::BadRequest(_))
        ));
        assert!(read("x", &[("Dry-Run", "perhaps")]).is_err());
        let question = read("nonsense sideways", &[]).unwrap();
        assert!(question.order().is_err());
        assert!(question.action(OperatorVerb::Skip).is_err());
        let question = read(&ORDER.to_string(), &[]).unwrap();
        assert!(question.action(OperatorVerb::Skip).is_err());
        assert!(question.action(OperatorVerb::Resolve).is_err());
        assert!(question.action(OperatorVerb::Close).is_ok());
    }

    #[test]
    fn a_statement_names_step_outcome_and_evidence_in_words_or_in_json() {
        let words = format!("{ORDER}  refund ok   re_12 seen in the dashboard");
        let json = format!(
            r#"{{"order_id":"{ORDER}","step":"refund","outcome":"ok","evidence":"re_12 seen in the dashboard"}}"#
        );
        for body in [words, json] {
            let Ok(Action::Resolve {
                step,
                truth,
                evidence,
            }) = read(&body, &[]).unwrap().action(OperatorVerb::Resolve)
            else {
                panic!("{body}")
            };
            assert_eq!((step, truth), (Step::Refund, Truth::Ok));
            assert_eq!(evidence, "re_12 seen in the dashboard");
        }
    }

    #[test]
    fn a_command_id_is_any_text_and_always_the_same_uuid() {
        let id = |text: &str| read("x", &[("command-id", text)]).unwrap().command_id();
        assert_eq!(id("ticket 4711"), id("ticket 4711"));
        assert_ne!(id("ticket 4711"), id("ticket 4712"));
        assert_eq!(id(&ORDER.to_string()), Ok(CommandId(ORDER)));
        assert_eq!(
            read("x", &[]).unwrap().command_id(),
            Err(Refusal::CommandIdMissing)
        );
        assert!(read("x", &[("Dry-Run", "1")]).unwrap().command_id().is_ok());
    }

    #[test]
    fn who_orders_is_recorded_by_role_and_id_or_as_an_operator() {
        let actor = |headers: &[(&str, &str)]| {
            let question = read("x", headers).unwrap();
            question.actor().as_str().to_owned()
        };
        assert_eq!(actor(&[]), "operator");
        assert_eq!(actor(&[("Actor", "Zoë\u{7}")]), "operator:Zo??");
        assert_eq!(actor(&[("Actor", "admin:17")]), "admin:17");
    }
}
