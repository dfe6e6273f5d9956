//! OpenAPI 3.1 documents, read off Rust types: the generator that the agent's local API and the hub share, and the hub's document.
//!
//! **In**: operations, each with a path, a method, a sentence and the types that it takes and answers. **Out**: a document that
//! generators of clients understand.
//!
//! **Guarantees.** An enumeration of words is `type: string` with `enum`, never `oneOf` of `const`; a schema that accepts anything is
//! `{}`, never `true`; each operation has an id that makes a good name of a function. [`problems`] finds what is not so.
//!
//! **On a crash** nothing is lost, for nothing is kept.
//!
//! Must never know: HTTP libraries, how a call is answered.

mod check;
mod document;
pub mod hub;
mod plain;

pub use check::problems;
pub use document::{Document, Operation, Schemas};
