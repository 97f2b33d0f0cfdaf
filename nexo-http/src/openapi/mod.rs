//! The OpenAPI document, derived from the types that the handlers take and give.

mod document;
mod operation;
mod schemas;

pub(crate) use document::{document, without_tags};
pub(crate) use operation::Operation;
pub(crate) use schemas::{Describe, Member, SchemaRef, Schemas, wire};
