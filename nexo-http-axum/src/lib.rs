//! nexo-http-axum
