//! Behaviour, shown by the real thing: the real engine and the real hub over real sockets, on port 0.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod access;
mod adversary;
mod alerts;
mod beneath;
mod browser;
mod clocks;
mod command_line;
mod control;
mod crashes;
mod dashboard;
mod dashboard_rules;
mod dashboard_send;
mod dashboard_use;
mod documentation;
mod download;
mod download_kills;
#[path = "../../benches/long_link/emulator.rs"]
mod emulator;
mod faults;
mod fuzz;
mod growing;
mod hard_links;
mod history;
mod hub;
mod inbox;
mod kills;
mod lists;
mod long_link;
mod migration;
mod notify;
mod older_database;
mod openapi;
mod operations;
mod own_files;
mod own_hub;
mod packaging;
mod postgres;
mod process;
mod proxy;
mod queue;
mod recipients;
mod reloads;
mod repeated_orders;
mod rule_cli;
mod s3_server;
mod secrecy;
mod sent_lists;
mod service_files;
mod shell;
mod support;
mod touched;
mod transfer;
mod two_hubs;
mod watch;
