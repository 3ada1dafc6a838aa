//! The admin API: routes, documents and OpenAPI
