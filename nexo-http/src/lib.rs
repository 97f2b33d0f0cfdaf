//! nexo-http
