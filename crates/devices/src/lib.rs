//! duet-devices
