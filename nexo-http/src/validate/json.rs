//! Reads a JSON body, and says precisely where it is none.

use serde_json::{Value, json};

use super::Violation;

/// How deep arrays and objects may stand in each other.
const MAX_DEPTH: usize = 64;

/// Reads a body as JSON: no deeper than 64, no lone surrogates, no `NaN`, no U+0000.
pub(crate) fn parse(body: &[u8]) -> Result<Value, Box<Violation>> {
    let text = std::str::from_utf8(body)
        .map_err(|error| invalid(body, error.valid_up_to(), "the text is not UTF-8"))?;
    if let Some(at) = too_deep(body) {
        return Err(invalid(body, at, "nested too deeply"));
    }
    let value = serde_json::from_str(text)
        .map_err(|error| invalid(body, offset(text, &error), &reason(&error)))?;
    match text.contains("\\u0000").then(|| find_nul(&value, &mut vec!["body".into()])).flatten() {
        Some(violation) => Err(Box::new(violation)),
        None => Ok(value),
    }
}

fn invalid(body: &[u8], at: usize, reason: &str) -> Box<Violation> {
    let characters = String::from_utf8_lossy(&body[..at.min(body.len())]).chars().count();
    let loc = vec!["body".into(), characters.into()];
    let violation = Violation::new("json_invalid", loc, "JSON decode error");
    Box::new(violation.with_input(json!({})).with_ctx(json!({"error": reason})))
}

/// The message without the parser's own line and column.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or_default().to_owned()
}

/// The byte at which the parser stopped.
fn offset(text: &str, error: &serde_json::Error) -> usize {
    let before: usize =
        text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    let at = (before + error.column().saturating_sub(1)).min(text.len());
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// Where the nesting exceeds what is allowed, found without recursion.
fn too_deep(body: &[u8]) -> Option<usize> {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for (at, byte) in body.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Some(at);
        }
    }
    None
}

/// Databases can't keep U+0000 in a text, so it is refused wherever it stands.
fn find_nul(value: &Value, loc: &mut Vec<Value>) -> Option<Violation> {
    match value {
        Value::String(text) if text.contains('\0') => Some(nul(loc.clone())),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .find_map(|(index, item)| within(loc, index.into(), |loc| find_nul(item, loc))),
        Value::Object(members) => members.iter().find_map(|(name, member)| {
            if name.contains('\0') {
                return Some(nul(loc.clone()));
            }
            within(loc, name.as_str().into(), |loc| find_nul(member, loc))
        }),
        _ => None,
    }
}

fn within<T>(loc: &mut Vec<Value>, step: Value, look: impl FnOnce(&mut Vec<Value>) -> T) -> T {
    loc.push(step);
    let found = look(loc);
    loc.pop();
    found
}

/// The violation for a text with U+0000 in it. The text is not repeated: where it stands, nobody
/// has asked yet whether it is secret.
pub(crate) fn nul(loc: Vec<Value>) -> Violation {
    Violation::new("value_error", loc, "The character U+0000 is not allowed")
        .with_ctx(json!({"reason": "U+0000"}))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(body: &[u8]) -> Value {
        parse(body).unwrap_err().to_json()
    }

    #[test]
    fn broken_json_is_told_with_its_place_in_characters() {
        let entry = entry("{\"é\": nope}".as_bytes());

        assert_eq!(entry["type"], "json_invalid");
        assert_eq!(entry["loc"][0], "body");
        assert!(entry["loc"][1].as_u64().is_some_and(|at| (6..=8).contains(&at)), "{entry}");
        assert_eq!(entry["input"], json!({}));
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for body in [
            &b"{\"a\":NaN}"[..],
            b"{\"a\":Infinity}",
            br#"{"a":"\ud800"}"#,
            b"\xff\xfe",
            b"{} {}",
            b"{\"a\":1e999}",
        ] {
            assert_eq!(entry(body)["type"], "json_invalid", "{body:?}");
        }
    }

    #[test]
    fn depth_is_counted_outside_of_strings_only() {
        let deep = |levels| format!("{}{}", "[".repeat(levels), "]".repeat(levels));

        assert!(parse(deep(64).as_bytes()).is_ok());
        assert_eq!(entry(deep(65).as_bytes())["type"], "json_invalid");
        assert!(parse(format!("\"{}\"", "[{".repeat(100)).as_bytes()).is_ok());
    }

    #[test]
    fn a_nul_is_found_wherever_it_stands() {
        let entry = entry(br#"{"a":{"b":["x","\u0000"]}}"#);

        assert_eq!(entry["type"], "value_error");
        assert_eq!(entry["loc"], json!(["body", "a", "b", 1]));
        assert!(parse(br#"{"a":"\\u0000"}"#).is_ok());
    }
}
