//! What a team sees and decides of its packages.
