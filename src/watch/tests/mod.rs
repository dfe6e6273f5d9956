//! Histories of a folder, played through a desk with the time simulated: cases kept as files, and random ones.

mod cases;
mod random;
pub(super) mod simulation;
