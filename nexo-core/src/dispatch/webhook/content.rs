//! What kind of answer an agent says it gives.

use http::{
    HeaderMap,
    header::{CONTENT_ENCODING, CONTENT_TYPE},
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ContentType {
    EventStream,
    Json,
    Absent,
    Other(String),
}

impl ContentType {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let Some(value) = headers.get(CONTENT_TYPE) else { return Self::Absent };
        let value = String::from_utf8_lossy(value.as_bytes());
        let name = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match name.as_str() {
            "text/event-stream" => Self::EventStream,
            "application/json" => Self::Json,
            "" => Self::Absent,
            other if other.ends_with("+json") => Self::Json,
            _ => Self::Other(name),
        }
    }
}

/// Whether the body is compressed, which was not asked for: a small body could become a huge
/// one.
pub(super) fn is_encoded(headers: &HeaderMap) -> bool {
    headers.get_all(CONTENT_ENCODING).iter().any(|value| {
        let value = value.as_bytes().trim_ascii();
        !value.is_empty() && !value.eq_ignore_ascii_case(b"identity")
    })
}
