//! Form-encoded parameters with brackets, as Stripe's clients write them: `metadata[order_id]=…`,
//! `line_items[0][quantity]=2`, `payment_method_types[]=card`.

use std::collections::BTreeMap;

use crate::error::ApiError;

const PAIRS_MAX: usize = 2_000;
const DEPTH_MAX: usize = 8;
const METADATA_KEYS_MAX: usize = 50;
const METADATA_KEY_CHARS_MAX: usize = 40;
const METADATA_VALUE_CHARS_MAX: usize = 500;
const TEXT_CHARS_MAX: usize = 5_000;

/// Parameters as a tree. Names in errors are the bracketed paths that the caller wrote.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Form(Branch);

type Branch = BTreeMap<Segment, Node>;

/// A list's places sort as numbers, names as text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    Place(usize),
    Name(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    Text(String),
    Branch(Branch),
}

impl Form {
    /// Reads a query string or a form body.
    pub(crate) fn parse(encoded: &[u8]) -> Result<Self, ApiError> {
        let mut root = Branch::new();
        for (count, (key, value)) in form_urlencoded::parse(encoded).enumerate() {
            if count >= PAIRS_MAX {
                return Err(ApiError::invalid(format!(
                    "A request may have at most {PAIRS_MAX} parameters."
                )));
            }
            // The ledger's text columns cannot hold it, and no honest parameter has it.
            if key.contains('\0') || value.contains('\0') {
                return Err(ApiError::invalid("A parameter contains a NUL character."));
            }
            let path = split(&key)?;
            insert(&mut root, &path, value.into_owned(), &key)?;
        }
        Ok(Self(root))
    }

    /// Refuses a parameter that the operation does not know: a misspelt one must not be ignored silently.
    pub(crate) fn allow(&self, known: &[&str]) -> Result<(), ApiError> {
        for segment in self.0.keys() {
            let name = segment.to_string();
            if !known.contains(&name.as_str()) {
                return Err(ApiError::parameter(
                    "parameter_unknown",
                    &name,
                    format!("This request has no parameter '{}'.", shortened(&name)),
                ));
            }
        }
        Ok(())
    }

    /// A text, or nothing when it is absent or empty.
    pub(crate) fn text(&self, path: &str) -> Result<Option<&str>, ApiError> {
        match self.node(path) {
            None => Ok(None),
            Some(Node::Text(text)) if text.is_empty() => Ok(None),
            Some(Node::Text(text)) if text.chars().count() > TEXT_CHARS_MAX => {
                Err(ApiError::parameter(
                    "parameter_invalid_string",
                    path,
                    format!("'{path}' may have at most {TEXT_CHARS_MAX} characters."),
                ))
            }
            Some(Node::Text(text)) => Ok(Some(text)),
            Some(Node::Branch(_)) => Err(ApiError::invalid(format!(
                "'{path}' must be a text, not a hash or list."
            ))
            .param(path)),
        }
    }

    /// A text that must be there.
    pub(crate) fn required(&self, path: &str) -> Result<&str, ApiError> {
        match self.text(path)? {
            Some(text) => Ok(text),
            None if self.node(path).is_some() => Err(ApiError::parameter(
                "parameter_invalid_empty",
                path,
                format!("'{path}' must not be empty."),
            )),
            None => Err(missing(path)),
        }
    }

    /// A whole number.
    pub(crate) fn integer(&self, path: &str) -> Result<Option<i64>, ApiError> {
        self.text(path)?
            .map(|text| {
                text.parse::<i64>().map_err(|_| {
                    ApiError::parameter(
                        "parameter_invalid_integer",
                        path,
                        format!(
                            "'{path}' must be a whole number, not '{}'.",
                            shortened(text)
                        ),
                    )
                })
            })
            .transpose()
    }

    /// A whole number that must be there and be at least `least`.
    pub(crate) fn required_integer(&self, path: &str, least: i64) -> Result<i64, ApiError> {
        let value = self.integer(path)?.ok_or_else(|| missing(path))?;
        at_least(path, value, least)
    }

    /// A whole number that is at least `least` when it is there.
    pub(crate) fn integer_at_least(&self, path: &str, least: i64) -> Result<Option<i64>, ApiError> {
        self.integer(path)?
            .map(|value| at_least(path, value, least))
            .transpose()
    }

    /// `true` or `false`; absent is false.
    pub(crate) fn flag(&self, path: &str) -> Result<bool, ApiError> {
        match self.text(path)? {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => Err(ApiError::invalid(format!(
                "'{path}' must be true or false, not '{}'.",
                shortened(other)
            ))
            .param(path)),
        }
    }

    /// One of a closed list of words.
    pub(crate) fn choice(
        &self,
        path: &str,
        choices: &'static [&'static str],
    ) -> Result<Option<&'static str>, ApiError> {
        let Some(text) = self.text(path)? else {
            return Ok(None);
        };
        choices
            .iter()
            .copied()
            .find(|choice| *choice == text)
            .map(Some)
            .ok_or_else(|| {
                ApiError::invalid(format!(
                    "'{path}' must be one of {}, not '{}'.",
                    choices.join(", "),
                    shortened(text)
                ))
                .param(path)
            })
    }

    /// An address to send a customer to. Placeholders in braces may stand in it.
    pub(crate) fn url(&self, path: &str) -> Result<Option<String>, ApiError> {
        let Some(text) = self.text(path)? else {
            return Ok(None);
        };
        match reqwest::Url::parse(text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(Some(text.to_owned())),
            Ok(_) | Err(_) => Err(ApiError::parameter(
                "url_invalid",
                path,
                format!("'{path}' must be an http(s) URL."),
            )),
        }
    }

    /// A hash of texts within Stripe's limits for metadata. An empty value unsets its key.
    pub(crate) fn metadata(&self, path: &str) -> Result<BTreeMap<String, String>, ApiError> {
        let branch = match self.node(path) {
            None => return Ok(BTreeMap::new()),
            Some(Node::Text(text)) if text.is_empty() => return Ok(BTreeMap::new()),
            Some(Node::Text(_)) => {
                return Err(ApiError::invalid(format!("'{path}' must be a hash.")).param(path));
            }
            Some(Node::Branch(branch)) => branch,
        };
        if branch.len() > METADATA_KEYS_MAX {
            return Err(ApiError::invalid(format!(
                "'{path}' may have at most {METADATA_KEYS_MAX} keys."
            ))
            .param(path));
        }
        let mut metadata = BTreeMap::new();
        for (segment, node) in branch {
            let key = segment.to_string();
            let Node::Text(value) = node else {
                return Err(
                    ApiError::invalid(format!("'{path}[{key}]' must be a text.")).param(path),
                );
            };
            if key.chars().count() > METADATA_KEY_CHARS_MAX
                || value.chars().count() > METADATA_VALUE_CHARS_MAX
            {
                return Err(ApiError::invalid(format!(
                    "'{path}': a key may have {METADATA_KEY_CHARS_MAX} characters and a value {METADATA_VALUE_CHARS_MAX}."
                ))
                .param(path));
            }
            if !value.is_empty() {
                metadata.insert(key, value.clone());
            }
        }
        Ok(metadata)
    }

    /// The paths of a list's entries, in order.
    pub(crate) fn entries(&self, path: &str) -> Vec<String> {
        match self.node(path) {
            Some(Node::Branch(branch)) => branch
                .keys()
                .map(|segment| format!("{path}[{segment}]"))
                .collect(),
            Some(Node::Text(_)) | None => Vec::new(),
        }
    }

    /// The parameters in one canonical order: two equal requests give the same text.
    pub(crate) fn canonical(&self) -> String {
        let mut out = String::new();
        write_canonical(&self.0, "", &mut out);
        out
    }

    fn node(&self, path: &str) -> Option<&Node> {
        let mut segments = split(path).ok()?.into_iter();
        let mut node = self.0.get(&segments.next()??)?;
        for segment in segments {
            let Node::Branch(branch) = node else {
                return None;
            };
            node = branch.get(&segment?)?;
        }
        Some(node)
    }
}

impl std::fmt::Display for Segment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Place(place) => write!(f, "{place}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

fn missing(path: &str) -> ApiError {
    ApiError::parameter(
        "parameter_missing",
        path,
        format!("The parameter '{path}' is missing."),
    )
}

fn at_least(path: &str, value: i64, least: i64) -> Result<i64, ApiError> {
    if value < least {
        return Err(ApiError::parameter(
            "parameter_invalid_integer",
            path,
            format!("'{path}' must be at least {least}, not {value}."),
        ));
    }
    Ok(value)
}

fn shortened(text: &str) -> String {
    text.chars().take(60).collect()
}

/// `a[b][0][]` → `a`, `b`, `0`, and `None` for "the next place".
fn split(key: &str) -> Result<Vec<Option<Segment>>, ApiError> {
    let malformed = || {
        ApiError::invalid(format!(
            "The parameter name '{}' is malformed.",
            shortened(key)
        ))
    };
    let (head, mut rest) = match key.find('[') {
        Some(at) => key.split_at(at),
        None => (key, ""),
    };
    if head.is_empty() || head.contains(']') {
        return Err(malformed());
    }
    // The first segment is a parameter's name even when it looks like a number.
    let mut path = vec![Some(Segment::Name(head.to_owned()))];
    while !rest.is_empty() {
        let inner = rest.strip_prefix('[').ok_or_else(malformed)?;
        let (segment, after) = inner.split_once(']').ok_or_else(malformed)?;
        path.push(match segment {
            "" => None,
            // Only a place's own spelling: `007` stays a name, or two different keys would be one.
            digits
                if digits.len() <= 6
                    && digits
                        .parse::<usize>()
                        .is_ok_and(|n| n.to_string() == digits) =>
            {
                Some(Segment::Place(digits.parse().map_err(|_| malformed())?))
            }
            name => Some(Segment::Name(name.to_owned())),
        });
        rest = after;
    }
    if path.len() > DEPTH_MAX {
        return Err(malformed());
    }
    Ok(path)
}

fn insert(
    branch: &mut Branch,
    path: &[Option<Segment>],
    value: String,
    key: &str,
) -> Result<(), ApiError> {
    let clash = || {
        ApiError::invalid(format!(
            "The parameter '{}' is given both as a text and as a hash.",
            shortened(key)
        ))
    };
    let Some((first, rest)) = path.split_first() else {
        return Ok(());
    };
    let segment = match first {
        Some(segment) => segment.clone(),
        None => next_place(branch),
    };
    if rest.is_empty() {
        return match branch.insert(segment, Node::Text(value)) {
            Some(Node::Branch(_)) => Err(clash()),
            Some(Node::Text(_)) | None => Ok(()),
        };
    }
    match branch
        .entry(segment)
        .or_insert_with(|| Node::Branch(Branch::new()))
    {
        Node::Branch(inner) => insert(inner, rest, value, key),
        Node::Text(_) => Err(clash()),
    }
}

/// Behind the last place that is taken, wherever the named ones stand.
fn next_place(branch: &Branch) -> Segment {
    let last = branch.keys().rev().find_map(|segment| match segment {
        Segment::Place(place) => Some(*place),
        Segment::Name(_) => None,
    });
    Segment::Place(last.map_or(0, |last| last + 1))
}

fn write_canonical(branch: &Branch, prefix: &str, out: &mut String) {
    for (segment, node) in branch {
        let path = if prefix.is_empty() {
            segment.to_string()
        } else {
            format!("{prefix}[{segment}]")
        };
        match node {
            // Lengths in front, so that no value can imitate a second parameter.
            Node::Text(text) => {
                out.push_str(&format!("{}:{path}={}:{text};", path.len(), text.len()));
            }
            Node::Branch(inner) => write_canonical(inner, &path, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(encoded: &str) -> Form {
        Form::parse(encoded.as_bytes()).unwrap()
    }

    #[test]
    fn brackets_become_a_tree() {
        let form = form(
            "amount=1999&metadata[order_id]=abc&line_items[0][price_data][unit_amount]=5&payment_method_types[]=card",
        );
        assert_eq!(form.integer("amount").unwrap(), Some(1999));
        assert_eq!(form.metadata("metadata").unwrap()["order_id"], "abc");
        assert_eq!(
            form.integer("line_items[0][price_data][unit_amount]")
                .unwrap(),
            Some(5)
        );
        assert_eq!(
            form.entries("payment_method_types"),
            ["payment_method_types[0]"]
        );
        assert_eq!(form.text("payment_method_types[0]").unwrap(), Some("card"));
    }

    #[test]
    fn appended_entries_go_behind_the_numbered_ones() {
        let form = form("a[1]=x&a[name]=n&a[]=y&a[]=z");
        assert_eq!(form.text("a[1]").unwrap(), Some("x"));
        assert_eq!(form.text("a[2]").unwrap(), Some("y"));
        assert_eq!(form.text("a[3]").unwrap(), Some("z"));
    }

    #[test]
    fn percent_encoded_brackets_are_the_same_names() {
        assert_eq!(
            form("metadata%5Border_id%5D=a+b%26c"),
            form("metadata[order_id]=a%20b%26c")
        );
    }

    #[test]
    fn the_tenth_entry_of_a_list_comes_after_the_second() {
        let encoded: String = (0..11)
            .map(|n| format!("line_items[{n}][quantity]=1&"))
            .collect();
        let entries = form(&encoded).entries("line_items");
        assert_eq!(entries.last().map(String::as_str), Some("line_items[10]"));
    }

    #[test]
    fn the_order_of_parameters_does_not_change_the_canonical_text() {
        assert_eq!(form("b=2&a=1").canonical(), form("a=1&b=2").canonical());
        assert_ne!(
            form("a=1&b=2").canonical(),
            form("a=1%3B1%3Ab%3D1%3A2").canonical()
        );
    }

    #[test]
    fn malformed_names_are_refused() {
        for bad in [
            "[a]=1",
            "a[b=1",
            "a]b=1",
            "a[b]c=1",
            "a=1&a[b]=2",
            "a[b]=2&a=1",
            "a=%00",
            &"a[b]".repeat(9),
        ] {
            assert!(Form::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_amount_that_is_not_a_positive_whole_number_names_the_parameter() {
        for bad in [
            "amount=0",
            "amount=-1",
            "amount=1.5",
            "amount=ten",
            "amount=99999999999999999999",
        ] {
            let error = form(bad).required_integer("amount", 1).unwrap_err();
            assert_eq!(
                error.error_code(),
                Some("parameter_invalid_integer"),
                "{bad}"
            );
        }
        assert_eq!(
            form("x=1")
                .required_integer("amount", 1)
                .unwrap_err()
                .error_code(),
            Some("parameter_missing")
        );
    }

    #[test]
    fn unknown_parameters_are_refused() {
        assert!(form("amount=1").allow(&["amount"]).is_ok());
        let error = form("amout=1").allow(&["amount"]).unwrap_err();
        assert_eq!(error.error_code(), Some("parameter_unknown"));
    }

    #[test]
    fn metadata_keeps_within_its_limits() {
        let many: String = (0..51).map(|n| format!("metadata[k{n}]=v&")).collect();
        assert!(form(&many).metadata("metadata").is_err());
        assert!(
            form(&format!("metadata[k]={}", "v".repeat(501)))
                .metadata("metadata")
                .is_err()
        );
        assert!(
            form(&format!("metadata[{}]=v", "k".repeat(41)))
                .metadata("metadata")
                .is_err()
        );
        assert!(
            form("metadata[k]=")
                .metadata("metadata")
                .unwrap()
                .is_empty()
        );
    }
}
