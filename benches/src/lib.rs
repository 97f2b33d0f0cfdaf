//! What those have in common who look at a running server from the outside: the measurements
//! (`load`) and the fault laboratory (`chaos`).

pub mod account;
pub mod client;
pub mod stats;
