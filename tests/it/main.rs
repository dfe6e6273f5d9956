//! The rooms together, as a user meets them: real servers on free ports, spoken to over the wire.

mod hub;
