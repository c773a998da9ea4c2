//! duet-peer

pub mod pipeline;
