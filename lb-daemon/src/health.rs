//! Health checks: whether the nodes of a service answer.

pub mod message;
pub mod verdict;
