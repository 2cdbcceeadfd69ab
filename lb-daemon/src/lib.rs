//! The daemon of edgelb: reads the configuration, loads the data path and keeps its maps right.

pub mod addresses;
pub mod api;
pub mod changes;
pub mod cli;
pub mod clock;
pub mod command;
pub mod config;
pub mod contents;
pub mod controller;
pub mod datapath;
pub mod detach;
pub mod expiry;
pub mod health;
pub mod indexes;
pub mod logging;
pub mod maglev;
pub mod neighbours;
pub mod network;
pub mod node_state;
pub mod plan;
pub mod port_table;
pub mod service_manager;
pub mod snapshot;
pub mod takers;
pub mod view;
