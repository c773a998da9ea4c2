//! duet-peer
