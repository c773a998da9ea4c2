//! Duet
