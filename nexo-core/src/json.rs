//! JSON objects that pass through nexo as they came.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::{Map, Value, value::RawValue};

/// A JSON object, kept as its text: stored, sent and shown without being taken apart.
///
/// ```
/// # use nexo_core::JsonObject;
/// let object: JsonObject = r#"{"source":"webhook"}"#.parse()?;
/// assert_eq!(object.get("source"), Some("webhook".into()));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone)]
pub struct JsonObject(Box<RawValue>);

impl JsonObject {
    /// The object `{}`.
    #[must_use]
    pub fn empty() -> Self {
        Self::from(Map::new())
    }

    /// Takes an object's text as it is, members in their order and numbers as they are written,
    /// but without the white space between them.
    ///
    /// ```
    /// # use nexo_core::JsonObject;
    /// let object = JsonObject::compact(r#"{ "b": 1.0, "a": "x y" }"#)?;
    /// assert_eq!(object.as_str(), r#"{"b":1.0,"a":"x y"}"#);
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the text is no JSON object.
    pub fn compact(text: &str) -> Result<Self, serde_json::Error> {
        let (mut in_string, mut escaped) = (false, false);
        let kept = text.chars().filter(|character| {
            let is_space = !in_string && character.is_ascii_whitespace();
            in_string ^= *character == '"' && !escaped;
            escaped = *character == '\\' && !escaped;
            !is_space
        });
        kept.collect::<String>().parse()
    }

    /// The object's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// The object, taken apart.
    #[must_use]
    pub fn to_map(&self) -> Map<String, Value> {
        serde_json::from_str(self.as_str()).unwrap_or_default()
    }

    /// One member, if there is one of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Value> {
        self.to_map().remove(name)
    }

    /// The same object with one member set.
    #[must_use]
    pub fn with(&self, name: &str, value: impl Into<Value>) -> Self {
        let mut map = self.to_map();
        map.insert(name.to_owned(), value.into());
        Self::from(map)
    }

    /// The object after a JSON merge patch (RFC 7396): `null` removes a member, objects are
    /// merged, anything else replaces.
    #[must_use]
    pub fn merged(&self, patch: &Self) -> Self {
        let mut target = Value::Object(self.to_map());
        merge(&mut target, Value::Object(patch.to_map()));
        match target {
            Value::Object(map) => Self::from(map),
            _ => Self::empty(),
        }
    }
}

fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(members) = target else { return };
    for (name, value) in patch {
        if value.is_null() {
            members.remove(&name);
        } else {
            merge(members.entry(name).or_insert(Value::Null), value);
        }
    }
}

impl From<Map<String, Value>> for JsonObject {
    fn from(map: Map<String, Value>) -> Self {
        let raw = serde_json::value::to_raw_value(&map).expect("a map of values is always JSON");
        Self(raw)
    }
}

impl Default for JsonObject {
    fn default() -> Self {
        Self::empty()
    }
}

impl std::str::FromStr for JsonObject {
    type Err = serde_json::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        serde_json::from_str(text)
    }
}

impl fmt::Debug for JsonObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl PartialEq for JsonObject {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str() || self.to_map() == other.to_map()
    }
}

impl Serialize for JsonObject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for JsonObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        if raw.get().trim_start().starts_with('{') {
            Ok(Self(raw))
        } else {
            Err(de::Error::custom("not a JSON object"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: &str) -> JsonObject {
        text.parse().unwrap()
    }

    #[test]
    fn merging_follows_the_examples_of_rfc_7396() {
        for (target, patch, merged) in [
            (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
            (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
            (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
            (r#"{"a":[1]}"#, r#"{"a":{"b":1}}"#, r#"{"a":{"b":1}}"#),
            (r#"{}"#, r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
        ] {
            assert_eq!(object(target).merged(&object(patch)), object(merged));
        }
    }

    #[test]
    fn only_an_object_is_an_object() {
        for text in ["[]", "1", "null", "\"{}\"", "{", ""] {
            assert!(text.parse::<JsonObject>().is_err(), "{text}");
        }
    }
}
