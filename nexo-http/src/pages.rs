//! Pages of lists, as they are shown.

use nexo_core::{CursorPage, Page, PageRequest};
use serde::Serialize;

use crate::openapi::{Describe, SchemaRef, Schemas};

/// A wire type that has pages of its own in the document.
pub(crate) trait Paged: Describe {
    /// The type's name.
    const NAME: &'static str;
}

/// A numbered page.
#[derive(Debug, Serialize)]
pub(crate) struct NumberedPage<T> {
    items: Vec<T>,
    total: u64,
    page: u32,
    size: u32,
    pages: u64,
}

impl<T> NumberedPage<T> {
    pub(crate) fn new<D>(page: Page<D>, request: PageRequest) -> Self
    where
        T: From<D>,
    {
        Self {
            items: page.items.into_iter().map(T::from).collect(),
            total: page.total,
            page: request.page,
            size: request.size,
            pages: page.total.div_ceil(u64::from(request.size.max(1))),
        }
    }
}

impl<T: Paged> Describe for NumberedPage<T> {
    fn describe(schemas: &mut Schemas) -> SchemaRef {
        let doc = " A page of a list whose length is known.";
        schemas.object(&format!("Page_{}_", T::NAME), &[doc], |object| {
            object.always::<Vec<T>>("items");
            object.always::<u64>("total");
            object.always::<u32>("page");
            object.always::<u32>("size");
            object.always::<u64>("pages");
        })
    }
}

/// A page that says where the next one starts.
#[derive(Debug, Serialize)]
pub(crate) struct Continued<T> {
    items: Vec<T>,
    next_cursor: Option<String>,
}

impl<T> Continued<T> {
    pub(crate) fn new<D>(page: CursorPage<D>) -> Self
    where
        T: From<D>,
    {
        Self {
            items: page.items.into_iter().map(T::from).collect(),
            next_cursor: page.next.map(|cursor| cursor.to_string()),
        }
    }
}

impl<T: Paged> Describe for Continued<T> {
    fn describe(schemas: &mut Schemas) -> SchemaRef {
        let doc = " A part of a list, and where the next one starts.";
        schemas.object(&format!("CursorPage_{}_", T::NAME), &[doc], |object| {
            object.always::<Vec<T>>("items");
            object.always::<Option<String>>("next_cursor");
        })
    }
}

/// The cursor of a query; an empty one is none.
pub(crate) fn cursor(text: Option<String>) -> Option<nexo_core::Cursor> {
    text.filter(|text| !text.is_empty()).map(nexo_core::Cursor::from_client)
}
