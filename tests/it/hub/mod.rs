//! The hub over raw HTTP, as a foreign client meets it.

pub mod client;

mod administration;
mod app;
mod batches;
mod bucket;
mod conformance;
mod contract;
mod delivery;
mod downloads;
mod fields;
mod foreign;
mod framing;
mod hardening;
mod in_browser;
mod keeping;
mod links;
mod mail;
mod management;
mod metrics;
mod migrate;
mod operator;
mod pages;
mod portals;
mod proxied;
mod rights;
mod secret_key;
mod seeing;
mod service;
pub mod smtp;
mod storage;
mod tolerance;
mod upload;
