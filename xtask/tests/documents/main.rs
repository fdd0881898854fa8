//! What the documents claim and a program can check.

mod cache_keys;
mod imports;
mod links;
mod markdown;
mod readme;
mod security;
