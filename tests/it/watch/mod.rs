//! Rules at work over real folders.

mod after;
mod drops;
mod support;
