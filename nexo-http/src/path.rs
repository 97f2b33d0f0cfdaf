//! Paths: patterns such as `/apps/{app_id}`, and what a request has in their place.
//!
//! Pattern and path are compared from the right, so that it makes no difference whether the
//! host application cut its own prefix off before.

use std::borrow::Cow;

/// The names in a pattern's braces.
pub(crate) fn names(pattern: &str) -> impl Iterator<Item = &str> {
    pattern.split('/').filter_map(name)
}

/// What `path` has where `pattern` says `{wanted}`, percent-decoded once.
pub(crate) fn param(pattern: &str, path: &str, wanted: &str) -> Option<String> {
    let segment = pattern
        .rsplit('/')
        .zip(path.rsplit('/'))
        .find_map(|(name_of, segment)| (name(name_of) == Some(wanted)).then_some(segment))?;
    decode(segment).map(Cow::into_owned)
}

/// Whether there is something in every parameter's place. Frameworks differ in whether an
/// empty segment is one.
pub(crate) fn is_filled(pattern: &str, path: &str) -> bool {
    let mut segments = pattern.rsplit('/').zip(path.rsplit('/'));
    segments.all(|(wanted, found)| name(wanted).is_none() || !found.is_empty())
}

fn name(segment: &str) -> Option<&str> {
    segment.strip_prefix('{')?.strip_suffix('}')
}

/// Decodes percent-encoding; `None` if what comes out is not UTF-8.
fn decode(segment: &str) -> Option<Cow<'_, str>> {
    if !segment.contains('%') {
        return Some(Cow::Borrowed(segment));
    }
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        let escaped = (*first == b'%').then(|| hex_pair(tail)).flatten();
        if escaped.is_some() {
            rest = &tail[2..];
        }
        bytes.push(escaped.unwrap_or(*first));
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

fn hex_pair(text: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let value = digit(*text.first()?)? * 16 + digit(*text.get(1)?)?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_found_also_behind_a_prefix() {
        let pattern = "/apps/{app_id}/threads/{thread_id}";

        for path in ["/apps/a/threads/b", "/api/v1/apps/a/threads/b"] {
            assert_eq!(param(pattern, path, "app_id").as_deref(), Some("a"));
            assert_eq!(param(pattern, path, "thread_id").as_deref(), Some("b"));
        }
        assert_eq!(param(pattern, "/apps/a/threads/b", "other"), None);
    }

    #[test]
    fn escapes_are_decoded_once_and_broken_ones_left_alone() {
        for (segment, decoded) in [
            ("a%2Fb%20c%2B", Some("a/b c+")),
            ("%2541", Some("%41")),
            ("100%", Some("100%")),
            ("%zz", Some("%zz")),
            ("%c3%a9", Some("é")),
            ("%ff", None),
        ] {
            assert_eq!(decode(segment).as_deref(), decoded, "{segment}");
        }
    }
}
