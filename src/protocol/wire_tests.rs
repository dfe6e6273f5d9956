//! Messages as they are on the wire: what a hub answers and what its clients send, literally.

mod answers;
mod foreign;
mod requests;
mod schemas;
