//! `masv-agent`: a watch-folder automation agent for people who send large media files, and the self-hosted hub
//! that speaks the same protocol as the cloud it sends to.
//!
//! The binary `masv` is a thin shell over this library; docs/architecture.md maps its rooms.

pub mod agent;
pub mod alerts;
pub mod api;
pub mod cli;
pub mod download;
pub mod engine;
pub mod hooks;
pub mod manifest;
pub mod model;
pub mod portal_downloads;
pub mod store;
pub mod upload;
pub mod watch;
