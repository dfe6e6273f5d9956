//! Rules at work over real folders.

mod drops;
mod support;
