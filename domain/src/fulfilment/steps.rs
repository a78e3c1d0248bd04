//! The step tables: what the saga does, where, and what makes up for it. A table's version and digest name it.
//!
//! A changed table is a new [`Definition`] at the end of [`DEFINITIONS`]; the old one stays there for as long as sagas
//! run under it, and each of them ends as its own table promised. What stays in the list is what a build can carry.

use event_schema::SagaDef;
use event_schema::fulfilment::Step;

/// Where a step's work is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// At the payment provider: an effect, recorded before it is called.
    Provider,
    /// In our own histories: decided in the batch that reaches it.
    Inside,
}

/// The steps that make up for others; nothing else can be named as a compensation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compensation {
    /// Let the money go.
    Void,
    /// Put the held units back.
    Release,
    /// Give taken money back.
    Refund,
}

impl Compensation {
    /// The compensation as a step of its own.
    pub const fn step(self) -> Step {
        match self {
            Self::Void => Step::Void,
            Self::Release => Step::Release,
            Self::Refund => Step::Refund,
        }
    }
}

/// What a step means for going back. A compensable step cannot be written down without its compensation:
///
/// ```
/// use domain::fulfilment::{Compensation, Kind, Place, Step, StepSpec};
///
/// const HOLD: StepSpec = StepSpec {
///     step: Step::Hold,
///     place: Place::Inside,
///     kind: Kind::Compensable { made_up_for_by: Compensation::Release },
/// };
/// ```
///
/// ```compile_fail
/// use domain::fulfilment::{Kind, Place, Step, StepSpec};
///
/// const HOLD: StepSpec = StepSpec {
///     step: Step::Hold,
///     place: Place::Inside,
///     kind: Kind::Compensable {},
/// };
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Before the point of no return: can be made up for.
    Compensable {
        /// By this.
        made_up_for_by: Compensation,
    },
    /// The point of no return: its recorded intent.
    Pivot {
        /// If it lands after the saga has turned back.
        made_up_for_by: Compensation,
    },
    /// After it: only forward, until it is done.
    Retriable,
    /// Makes up for another step.
    Compensating,
}

/// One row of the step table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepSpec {
    /// The step.
    pub step: Step,
    /// Where its work is done.
    pub place: Place,
    /// What it means for going back.
    pub kind: Kind,
}

/// The step table: forward in order, then the compensations.
pub const STEPS: &[StepSpec] = &[
    StepSpec {
        step: Step::Authorise,
        place: Place::Provider,
        kind: Kind::Compensable {
            made_up_for_by: Compensation::Void,
        },
    },
    StepSpec {
        step: Step::Hold,
        place: Place::Inside,
        kind: Kind::Compensable {
            made_up_for_by: Compensation::Release,
        },
    },
    StepSpec {
        step: Step::Capture,
        place: Place::Provider,
        kind: Kind::Pivot {
            made_up_for_by: Compensation::Refund,
        },
    },
    StepSpec {
        step: Step::Commit,
        place: Place::Inside,
        kind: Kind::Retriable,
    },
    StepSpec {
        step: Step::Void,
        place: Place::Provider,
        kind: Kind::Compensating,
    },
    StepSpec {
        step: Step::Release,
        place: Place::Inside,
        kind: Kind::Compensating,
    },
    StepSpec {
        step: Step::Refund,
        place: Place::Provider,
        kind: Kind::Compensating,
    },
];

/// Raised with every change of [`STEPS`]; a test holds version and digest together.
pub const VERSION: u32 = 1;

/// A step table under its version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Definition {
    /// Raised with every change of the table.
    pub version: u32,
    /// The table.
    pub steps: &'static [StepSpec],
}

/// Every definition that this build carries, the newest last: new sagas run under that one.
pub const DEFINITIONS: &[Definition] = &[Definition {
    version: VERSION,
    steps: STEPS,
}];

impl Definition {
    /// As a saga's first event and every header name it.
    pub fn def(&self) -> SagaDef {
        SagaDef {
            version: self.version,
            digest: format!("{:08x}", digest(self.steps)),
        }
    }

    fn is(&self, def: &SagaDef) -> bool {
        self.version == def.version && self.def().digest == def.digest
    }
}

/// The definition that new sagas run under.
pub fn definition() -> SagaDef {
    Definition {
        version: VERSION,
        steps: STEPS,
    }
    .def()
}

/// Whether this build can carry a saga that runs under this definition to its end. One that cannot must not work it.
pub fn carries(def: &SagaDef) -> bool {
    DEFINITIONS.iter().any(|known| known.is(def))
}

/// The table that a saga ends as. Of a definition that this build does not carry nothing is decided, only shown.
pub(super) fn table(def: &SagaDef) -> &'static [StepSpec] {
    DEFINITIONS
        .iter()
        .find(|known| known.is(def))
        .map_or(STEPS, |known| known.steps)
}

/// The forward steps of a table, in order.
pub(super) fn forward(steps: &[StepSpec]) -> impl DoubleEndedIterator<Item = &StepSpec> {
    steps.iter().filter(|spec| match spec.kind {
        Kind::Compensable { .. } | Kind::Pivot { .. } | Kind::Retriable => true,
        Kind::Compensating => false,
    })
}

const _: () = {
    let mut known = 0;
    while known < DEFINITIONS.len() {
        well_formed(DEFINITIONS[known].steps);
        known += 1;
    }
    assert!(
        DEFINITIONS[DEFINITIONS.len() - 1].version == VERSION,
        "the newest definition comes last"
    );
};

/// Checks the order of kinds, for every definition while compiling: compensable steps, one pivot, retriable steps,
/// compensations; and every compensation that is named has a row of its own. So nothing stands before the point of no
/// return that cannot be made up for:
///
/// ```compile_fail
/// use domain::fulfilment::{Compensation, Kind, Place, Step, StepSpec, well_formed};
///
/// const _: () = well_formed(&[
///     StepSpec { step: Step::Hold, place: Place::Inside, kind: Kind::Retriable },
///     StepSpec {
///         step: Step::Capture,
///         place: Place::Provider,
///         kind: Kind::Pivot { made_up_for_by: Compensation::Refund },
///     },
///     StepSpec { step: Step::Refund, place: Place::Provider, kind: Kind::Compensating },
/// ]);
/// ```
///
/// ```
/// use domain::fulfilment::{STEPS, well_formed};
///
/// const _: () = well_formed(STEPS);
/// ```
///
/// # Panics
/// If the table is out of order, which fails the build where it is checked in a constant.
pub const fn well_formed(steps: &[StepSpec]) {
    let mut stage = 0;
    let mut pivots = 0;
    let mut row = 0;
    while row < steps.len() {
        let (next, compensation) = match steps[row].kind {
            Kind::Compensable { made_up_for_by } => (0, Some(made_up_for_by)),
            Kind::Pivot { made_up_for_by } => (1, Some(made_up_for_by)),
            Kind::Retriable => (2, None),
            Kind::Compensating => (3, None),
        };
        assert!(next >= stage, "the step table is out of order");
        stage = next;
        if next == 1 {
            pivots += 1;
        }
        if let Some(compensation) = compensation {
            assert!(
                is_compensating(steps, compensation.step()),
                "a compensation has no row of its own"
            );
        }
        row += 1;
    }
    assert!(pivots == 1, "a saga has one point of no return");
}

const fn is_compensating(steps: &[StepSpec], step: Step) -> bool {
    let mut row = 0;
    while row < steps.len() {
        if steps[row].step as u8 == step as u8 {
            return matches!(steps[row].kind, Kind::Compensating);
        }
        row += 1;
    }
    false
}

/// FNV-1a over the table's words, so that two builds cannot mean different tables by one version.
const fn digest(steps: &[StepSpec]) -> u32 {
    let mut hash = 0x811c_9dc5;
    let mut row = 0;
    while row < steps.len() {
        let place = match steps[row].place {
            Place::Provider => "provider",
            Place::Inside => "inside",
        };
        let (kind, compensation) = match steps[row].kind {
            Kind::Compensable { made_up_for_by } => ("compensable", made_up_for_by.step().as_str()),
            Kind::Pivot { made_up_for_by } => ("pivot", made_up_for_by.step().as_str()),
            Kind::Retriable => ("retriable", "-"),
            Kind::Compensating => ("compensating", "-"),
        };
        hash = word(hash, steps[row].step.as_str());
        hash = word(hash, place);
        hash = word(hash, kind);
        hash = word(hash, compensation);
        row += 1;
    }
    hash
}

const fn word(mut hash: u32, word: &str) -> u32 {
    let bytes = word.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        hash = (hash ^ bytes[at] as u32).wrapping_mul(0x0100_0193);
        at += 1;
    }
    (hash ^ b' ' as u32).wrapping_mul(0x0100_0193)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_table_is_a_new_version() {
        assert_eq!(
            definition().to_string(),
            "1:4ce32901",
            "the table changed: raise VERSION, then pin it anew here"
        );
    }

    #[test]
    fn every_step_has_one_row() {
        for step in [
            Step::Authorise,
            Step::Hold,
            Step::Capture,
            Step::Commit,
            Step::Void,
            Step::Release,
            Step::Refund,
        ] {
            assert_eq!(
                STEPS.iter().filter(|spec| spec.step == step).count(),
                1,
                "{step}"
            );
        }
    }

    #[test]
    fn another_table_has_another_digest() {
        let mut other = STEPS.to_vec();
        other.swap(0, 1);
        assert_ne!(digest(&other), digest(STEPS));
    }

    #[test]
    fn a_build_carries_what_it_lists_and_nothing_else() {
        assert!(carries(&definition()));
        let same_version_other_table = SagaDef {
            digest: "0badc0de".into(),
            ..definition()
        };
        let same_table_other_version = SagaDef {
            version: VERSION + 1,
            ..definition()
        };
        for def in [same_version_other_table, same_table_other_version] {
            assert!(!carries(&def), "{def}");
        }
    }

    #[test]
    fn every_definition_is_listed_once_the_newest_last() {
        let versions: Vec<u32> = DEFINITIONS.iter().map(|known| known.version).collect();
        assert!(
            versions.windows(2).all(|pair| pair[0] < pair[1]),
            "{versions:?}"
        );
        assert_eq!(DEFINITIONS.last().map(Definition::def), Some(definition()));
    }
}
