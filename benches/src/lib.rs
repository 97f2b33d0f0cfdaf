//! What those have in common who measure: a running server from the outside (`load`), faults
//! (`chaos`), and parts of it by themselves (`instructions`, and what criterion runs).

pub mod account;
pub mod client;
pub mod hosts;
pub mod stats;
