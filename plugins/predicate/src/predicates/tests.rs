//! What expressions answer, and that the compact form, the interpreter and the bare `cel` crate
//! answer alike.

mod agree;
mod answers;
