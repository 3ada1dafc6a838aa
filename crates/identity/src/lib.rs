//! API keys: who is calling
