//! Crashes of the log at every operation, on a simulated disk.
