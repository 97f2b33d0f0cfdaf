//! nexo-dashboard
fn main() {}
