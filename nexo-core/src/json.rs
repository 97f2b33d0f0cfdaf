//! JSON objects that pass through nexo as they came.

use std::{collections::HashSet, fmt};

use indexmap::IndexMap;
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

    /// The same object with one member set; all others stay as they are written.
    #[must_use]
    pub fn with(&self, name: &str, value: impl Into<Value>) -> Self {
        let mut members = members(self.as_str());
        members.insert(name.to_owned(), raw(&value.into()));
        Self(raw(&members))
    }

    /// The object after a JSON merge patch (RFC 7396): `null` removes a member, objects are
    /// merged, anything else replaces. Members that the patch does not name stay as they are
    /// written, to the last digit.
    #[must_use]
    pub fn merged(&self, patch: &Self) -> Self {
        Self(raw(&merge(members(self.as_str()), members(patch.as_str()))))
    }
}

/// The members of an object in their order, each as it is written.
type Members = IndexMap<String, Box<RawValue>>;

/// Those of a text; none if it is no object. Of several with one name the last counts.
fn members(text: &str) -> Members {
    serde_json::from_str(text).unwrap_or_default()
}

fn merge(mut target: Members, patch: Members) -> Members {
    let mut removed = HashSet::new();
    for (name, value) in patch {
        if value.get() == "null" {
            removed.insert(name);
        } else if value.get().starts_with('{') {
            let inner = target.get(&name).map(|value| members(value.get())).unwrap_or_default();
            target.insert(name, raw(&merge(inner, members(value.get()))));
        } else {
            target.insert(name, value);
        }
    }
    target.retain(|name, _| !removed.contains(name));
    target
}

fn raw(value: &impl Serialize) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).expect("what was JSON is JSON again")
}

impl From<Map<String, Value>> for JsonObject {
    fn from(map: Map<String, Value>) -> Self {
        Self(raw(&map))
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
    fn what_a_change_does_not_name_stays_as_it_is_written() {
        let long = r#"{"b":123456789012345678901234,"a":{"z":1.10,"y":1e400,"x":"\u00e9"},"c":1}"#;

        let merged = object(long).merged(&object(r#"{"a":{"w":2.50},"c":null,"d":0.0}"#));

        let expected = r#"{"b":123456789012345678901234,"a":{"z":1.10,"y":1e400,"x":"\u00e9","w":2.50},"d":0.0}"#;
        assert_eq!(merged.as_str(), expected);
        assert_eq!(
            object(r#"{"order":123456789012345678901,"source":"x"}"#).with("source", "y").as_str(),
            r#"{"order":123456789012345678901,"source":"y"}"#
        );
    }

    #[test]
    fn of_two_members_with_one_name_the_last_counts() {
        let twice = object(r#"{"a":{"b":1},"a":{"c":2}}"#);

        assert_eq!(twice.merged(&object(r#"{"a":{"d":3}}"#)).as_str(), r#"{"a":{"c":2,"d":3}}"#);
        assert_eq!(twice.with("a", 1).as_str(), r#"{"a":1}"#);
    }

    #[test]
    fn only_an_object_is_an_object() {
        for text in ["[]", "1", "null", "\"{}\"", "{", ""] {
            assert!(text.parse::<JsonObject>().is_err(), "{text}");
        }
    }
}
