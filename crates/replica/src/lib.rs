//! What a replica keeps in memory: a bounded cache, a snapshot follower, a group-commit queue
