//! The hub over raw HTTP, as a foreign client meets it.

mod client;

mod administration;
mod bucket;
mod contract;
mod links;
mod mail;
mod management;
mod operator;
mod pages;
mod portals;
mod storage;
mod tolerance;
mod upload;
