//! nexo-store-sqlite
