//! Rate limiting: one atomic decision over all the rules that match
