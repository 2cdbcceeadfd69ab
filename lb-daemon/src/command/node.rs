//! `edgelb drain`, `edgelb enable` and `edgelb disable`.

use std::process::ExitCode;

use anyhow::Result;

use super::show;
use crate::{
    api::{Question, Wish, ask},
    cli,
    node_state::Wanted,
};

/// Has a running edgelb want something of a node, and prints what has changed.
pub fn run(options: cli::Node, wanted: Wanted) -> Result<ExitCode> {
    let question = Question::Want(Wish {
        node: options.node,
        service: options.service,
        wanted,
    });
    let changes: Vec<String> = ask(&options.control_socket, &question)?;
    if changes.is_empty() {
        show("nothing has changed")?;
    }
    for change in changes {
        show(change)?;
    }
    Ok(ExitCode::SUCCESS)
}
