//! stats
#[derive(Debug)]
pub struct RTCStats;
#[derive(Debug)]
pub struct RTCStatsReport;
