//! Where the domains meet: one decision for a request, without sockets
