//! OpenAPI 3.1 documents from Rust types: the generator shared by the agent's local API and the hub, and the hub's document.
//!
//! **In**: operations, each with a path, a method, a sentence and the types of its input and responses. **Out**: a document that
//! client generators understand.
//!
//! **Guarantees.** An enumeration of words is `type: string` with `enum`, never `oneOf` of `const`; a schema that accepts anything is
//! `{}`, never `true`; each operation has an id that is a good name for a function. [`problems`] finds violations.
//!
//! **On a crash** nothing is lost, for nothing is kept.
//!
//! Must never know: HTTP libraries, or how a call is handled.

mod check;
mod document;
pub mod hub;
mod plain;
mod refusals;

pub use check::problems;
pub use document::{Document, Operation, Schemas};
