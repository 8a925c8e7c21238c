//! Test harness: real brokers, fault injection, ledgers
