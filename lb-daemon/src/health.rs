//! Health checks: whether the nodes of a service answer.

pub mod message;
pub mod target;
pub mod verdict;
