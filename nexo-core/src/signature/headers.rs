//! The headers that belong to a signature, and reading them from whatever a framework has.

/// The id of a request in Standard Webhooks: the same whenever the same is asked.
pub(crate) const ID: &str = "webhook-id";
/// When a request was signed in Standard Webhooks, in seconds since the Unix epoch.
pub(crate) const TIMESTAMP: &str = "webhook-timestamp";
/// The signatures of Standard Webhooks, separated by spaces.
pub(crate) const SIGNATURE: &str = "webhook-signature";
/// When a request was signed in the plain form, unless the server was told another name.
pub(crate) const PLAIN_TIMESTAMP: &str = "x-timestamp";
/// The plain signature, unless the server was told another name.
pub(crate) const PLAIN_SIGNATURE: &str = "x-signature";

/// The headers of one request that are text and not empty.
pub(crate) struct Headers(Vec<(String, String)>);

impl Headers {
    pub(crate) fn read(
        headers: impl IntoIterator<Item = (impl AsRef<str>, impl AsRef<[u8]>)>,
    ) -> Self {
        let texts = headers.into_iter().filter_map(|(name, value)| {
            let value = str::from_utf8(value.as_ref()).ok().filter(|value| !value.is_empty())?;
            Some((name.as_ref().to_owned(), value.to_owned()))
        });
        Self(texts.collect())
    }

    /// The value of a header, the first if it came several times. Names are case-insensitive
    /// in HTTP.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(found, _)| found.eq_ignore_ascii_case(name))?;
        Some(value)
    }
}
