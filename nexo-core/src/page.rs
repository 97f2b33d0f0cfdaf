//! Pages: parts of long lists.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE};
use serde::{Serialize, de::DeserializeOwned};

use crate::{Error, Result};

/// One numbered page of a list whose length is known.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T> {
    /// What is on the page.
    pub items: Vec<T>,
    /// How many there are on all pages.
    pub total: u64,
}

/// The page of a list that was asked for, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// Which page, from 1.
    pub page: u32,
    /// How many items a page has.
    pub size: u32,
}

impl PageRequest {
    /// How many items come before this page.
    #[must_use]
    pub fn skipped(self) -> u64 {
        u64::from(self.page.saturating_sub(1)) * u64::from(self.size)
    }
}

/// A part of a long list, and where the next one starts.
#[derive(Clone, Debug, PartialEq)]
pub struct CursorPage<T> {
    /// What is on the page.
    pub items: Vec<T>,
    /// Where to go on; `None` on the last page.
    pub next: Option<Cursor>,
}

impl<T> CursorPage<T> {
    /// Makes a page from up to `limit + 1` rows: the one too many only tells that there is more.
    ///
    /// `position` gives the sort key of a row, from which the next page goes on.
    pub fn from_rows<P: Serialize>(
        mut rows: Vec<T>,
        limit: u32,
        position: impl FnOnce(&T) -> P,
    ) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = if more { rows.last().map(|row| Cursor::new(&position(row))) } else { None };
        Self { items: rows, next }
    }
}

/// Where a list goes on: opaque to clients, made of the sort key of the last row seen.
#[derive(Clone, PartialEq, Eq)]
pub struct Cursor(String);

impl Cursor {
    /// Makes the cursor that goes on after `position`.
    pub fn new<P: Serialize>(position: &P) -> Self {
        let json = serde_json::to_vec(position).expect("a position is plain data");
        Self(URL_SAFE.encode(json))
    }

    /// Takes a cursor that a client sent; it is judged by [`Cursor::read`].
    #[must_use]
    pub fn from_client(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Reads the position back.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidCursor`] if this is no cursor of such a list.
    pub fn read<P: DeserializeOwned>(&self) -> Result<P> {
        let json = URL_SAFE.decode(&self.0).map_err(|_| Error::InvalidCursor)?;
        serde_json::from_slice(&json).map_err(|_| Error::InvalidCursor)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cursor({})", self.0)
    }
}

/// Reads the position of an optional cursor.
///
/// # Errors
///
/// [`Error::InvalidCursor`] if there is a cursor and it is none of such a list.
pub fn position<P: DeserializeOwned>(cursor: Option<&Cursor>) -> Result<Option<P>> {
    cursor.map(Cursor::read).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_row_too_many_is_cut_and_tells_where_to_go_on() {
        let page = CursorPage::from_rows(vec![1_u32, 2, 3], 2, |row| *row);

        assert_eq!(page.items, [1, 2]);
        assert_eq!(page.next.unwrap().read::<u32>().unwrap(), 2);
    }

    #[test]
    fn a_forged_cursor_is_refused() {
        for text in ["", "x", "bm90IGpzb24=", "eyJhIjoxfQ==", "é"] {
            assert!(matches!(Cursor::from_client(text).read::<u32>(), Err(Error::InvalidCursor)));
        }
    }
}
