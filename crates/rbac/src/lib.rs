//! Role-based access control: decisions that explain themselves
