//! Bodies: JSON objects and forms.

use http::header;
use memchr::memmem;
use serde_json::{Map, Value};
use tokio::sync::OwnedSemaphorePermit;

use super::{Input, Reject};
use crate::{
    Api, Request,
    openapi::Operation,
    request::Content,
    validate::{FromFields, REDACTED, Reader, Violation, is_secret},
};

/// A JSON object, read field by field. Its syntax was checked before anything else.
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<T: FromFields + Send> Input for JsonBody<T> {
    async fn take(request: &mut Request, api: &Api) -> Result<Self, Reject> {
        let reader = Reader::new(api, "body").merging(request.merges);
        let (members, reader) = match std::mem::take(&mut request.content) {
            Content::Json(Value::Object(members), text) => (members, reader.with_text(text)),
            Content::Json(other, _) => return Err(not_an_object::<T>(other)),
            Content::Bytes(bytes) if bytes.is_empty() && T::SEPARATE => (Map::new(), reader),
            Content::Bytes(bytes) if !bytes.is_empty() => {
                return Err(not_an_object::<T>(String::from_utf8_lossy(&bytes).into()));
            }
            Content::Bytes(_) | Content::Unread => return Err(absent()),
        };
        reader.read(members).map(Self).map_err(Reject::Invalid)
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.body::<T>("application/json");
    }
}

/// What the body takes up of the room for large ones: for handlers that wait for an agent long
/// after they are done with the body, and must not keep others from sending theirs. Those who
/// do not ask for it give it back when they have answered.
pub(crate) struct BodyRoom(Option<OwnedSemaphorePermit>);

impl BodyRoom {
    /// Nothing of the body is in memory any more but what is kept of a run anyway.
    pub(crate) fn leave(self) {
        drop(self.0);
    }
}

impl Input for BodyRoom {
    async fn take(request: &mut Request, _: &Api) -> Result<Self, Reject> {
        Ok(Self(request.room.take()))
    }
}

fn absent() -> Reject {
    Reject::Invalid(vec![Violation::new("missing", vec!["body".into()], "Field required")])
}

/// In a text or a list that should have been an object, a secret can't be told from the rest.
fn not_an_object<T: FromFields>(value: Value) -> Reject {
    const MSG: &str = "Input should be a valid dictionary or object to extract fields from";
    let may_be_secret = (value.is_string() || value.is_array()) && has_secrets::<T>();
    let value = if may_be_secret { REDACTED.into() } else { value };
    let violation = Violation::new("model_attributes_type", vec!["body".into()], MSG);
    Reject::Invalid(vec![violation.with_input(value)])
}

fn has_secrets<T: FromFields>() -> bool {
    let mut found = false;
    T::members(&mut |member| found |= is_secret(member.name));
    found
}

/// Whether a body of this content type is JSON; one without a type counts as such.
pub(crate) fn is_json(request: &Request) -> bool {
    let Some(value) = request.headers.get(header::CONTENT_TYPE) else { return true };
    let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    let essence = essence.trim().to_ascii_lowercase();
    essence.is_empty()
        || essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// A form, read field by field: `application/x-www-form-urlencoded` or `multipart/form-data`.
pub(crate) struct Form<T>(pub(crate) T);

impl<T: FromFields + Send> Input for Form<T> {
    async fn take(request: &mut Request, api: &Api) -> Result<Self, Reject> {
        let fields = match std::mem::take(&mut request.content) {
            Content::Bytes(bytes) => form_fields(request.header("content-type"), &bytes),
            Content::Json(..) | Content::Unread => Map::new(),
        };
        Reader::new(api, "body").read(fields).map(Self).map_err(Reject::Invalid)
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.body::<T>("application/x-www-form-urlencoded");
    }
}

fn form_fields(content_type: Option<&str>, body: &[u8]) -> Map<String, Value> {
    let content_type = content_type.unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return pairs(body);
    }
    if essence.eq_ignore_ascii_case("multipart/form-data") {
        return boundary(content_type).map(|it| parts(&it, body)).unwrap_or_default();
    }
    Map::new()
}

/// The fields of a query or an urlencoded form; of equal names the last counts.
pub(crate) fn pairs(text: &[u8]) -> Map<String, Value> {
    url::form_urlencoded::parse(text)
        .map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())))
        .collect()
}

/// RFC 2046, 5.1.1.
const MAX_BOUNDARY_BYTES: usize = 70;

fn boundary(content_type: &str) -> Option<String> {
    let parameter = content_type.split(';').map(str::trim).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.eq_ignore_ascii_case("boundary").then(|| value.trim_matches('"').to_owned())
    });
    parameter.filter(|boundary| (1..=MAX_BOUNDARY_BYTES).contains(&boundary.len()))
}

/// The text fields of a multipart form. Files and parts that are not UTF-8 are left out.
fn parts(boundary: &str, body: &[u8]) -> Map<String, Value> {
    split(body, format!("--{boundary}").as_bytes())
        .filter_map(|part| {
            let (head, value) = std::str::from_utf8(part).ok()?.split_once("\r\n\r\n")?;
            let value = value.strip_suffix("\r\n").unwrap_or(value);
            Some((part_name(head)?, Value::String(value.to_owned())))
        })
        .collect()
}

/// What stands between the separators.
fn split<'a>(bytes: &'a [u8], separator: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = Some(bytes);
    std::iter::from_fn(move || {
        let bytes = rest?;
        let found = memmem::find(bytes, separator);
        rest = found.map(|at| &bytes[at + separator.len()..]);
        Some(&bytes[..found.unwrap_or(bytes.len())])
    })
}

fn part_name(head: &str) -> Option<String> {
    let line =
        head.lines().find(|line| line.to_ascii_lowercase().starts_with("content-disposition:"))?;
    let named = line.split(';').map(str::trim).find_map(|it| it.strip_prefix("name="))?;
    Some(named.trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_multipart_form_gives_its_text_fields() {
        let body = "--XX\r\nContent-Disposition: form-data; name=\"username\"\r\n\r\na@b.io\r\n\
                    --XX\r\ncontent-disposition: form-data; name=\"password\"\r\n\r\np\r\nq\r\n--XX--\r\n";

        let fields = form_fields(Some("multipart/form-data; boundary=XX"), body.as_bytes());

        assert_eq!(fields["username"], "a@b.io");
        assert_eq!(fields["password"], "p\r\nq");
    }

    #[test]
    fn a_part_that_is_not_utf8_is_left_out() {
        let body = b"--XX\r\nContent-Disposition: form-data; name=\"username\"\r\n\r\n\xff\xfe\r\n\
                     --XX\r\nContent-Disposition: form-data; name=\"password\"\r\n\r\np\r\n--XX--\r\n";

        let fields = form_fields(Some("multipart/form-data; boundary=XX"), body);

        assert!(!fields.contains_key("username"));
        assert_eq!(fields["password"], "p");
    }

    #[test]
    fn a_boundary_that_is_too_long_leads_to_no_fields() {
        for (length, found) in [(70, true), (71, false)] {
            let boundary = "X".repeat(length);
            let body =
                format!("--{boundary}\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb");

            let content_type = format!("multipart/form-data; boundary={boundary}");
            let fields = form_fields(Some(&content_type), body.as_bytes());

            assert_eq!(fields.contains_key("a"), found, "{length}");
        }
    }

    #[test]
    fn an_urlencoded_form_is_decoded() {
        let fields = form_fields(
            Some("application/x-www-form-urlencoded; charset=utf-8"),
            b"username=a%40b.io&password=p+q%26",
        );

        assert_eq!(fields["username"], "a@b.io");
        assert_eq!(fields["password"], "p q&");
    }
}
