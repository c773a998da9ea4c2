//! duet-session
