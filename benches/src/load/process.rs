//! What a process takes, as the system counts it.

use std::{fs, io, time::Duration};

/// The system counts processor time in hundredths of a second.
const TICK: Duration = Duration::from_millis(10);

/// A running process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process(pub(crate) u32);

impl Process {
    /// How much memory it holds, in KiB.
    pub(crate) fn resident_kib(self) -> io::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        number(line.and_then(|line| line.split_whitespace().next()))
    }

    /// For how long it has had a processor.
    pub(crate) fn processor_time(self) -> io::Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0))?;
        // The name before the bracket may have spaces in it; after it come the state, and ten
        // more fields before the time in the program and the time in the system.
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        let mut times = fields.split_whitespace().skip(11);
        let ticks = number(times.next())? + number(times.next())?;
        Ok(TICK * u32::try_from(ticks).unwrap_or(u32::MAX))
    }
}

/// How many files this process may have open.
pub(crate) fn open_files() -> io::Result<u64> {
    let limits = fs::read_to_string("/proc/self/limits")?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    match line.and_then(|line| line.split_whitespace().next()) {
        Some("unlimited") => Ok(u64::MAX),
        limit => number(limit),
    }
}

fn number(text: Option<&str>) -> io::Result<u64> {
    let number = text.and_then(|text| text.parse().ok());
    number.ok_or_else(|| io::Error::other("a process is not shown as expected"))
}
