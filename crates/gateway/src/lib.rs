//! The HTTP data plane over the pipeline
