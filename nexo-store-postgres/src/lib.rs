//! nexo-store-postgres
