//! Exact percentiles: every duration is kept, and sorted once at the end.

use std::time::Duration;

use serde::Serialize;

/// The durations of one kind of request, in the order they were measured.
#[derive(Debug, Default)]
pub struct Latencies {
    nanos: Vec<u64>,
}

/// What is reported of many durations, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Summary {
    /// How many were measured.
    pub count: usize,
    /// Half took at most this.
    pub p50_ms: f64,
    /// Ninety-nine of a hundred took at most this.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

impl Latencies {
    /// Adds one duration.
    pub fn record(&mut self, duration: Duration) {
        // 2^64 ns are 584 years: the cut never happens.
        self.nanos
            .push(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Percentiles of all durations so far; zeros when there are none.
    pub fn summary(&mut self) -> Summary {
        self.nanos.sort_unstable();
        Summary {
            count: self.nanos.len(),
            p50_ms: self.at(50),
            p99_ms: self.at(99),
            max_ms: self.at(100),
        }
    }

    /// The smallest duration that `percent` of all do not exceed; expects them sorted.
    fn at(&self, percent: usize) -> f64 {
        let rank = (self.nanos.len() * percent).div_ceil(100);
        let nanos = self.nanos.get(rank.saturating_sub(1)).copied();
        Duration::from_nanos(nanos.unwrap_or(0)).as_secs_f64() * 1e3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_ranks_of_what_was_measured() {
        let mut latencies = Latencies::default();
        for millis in (1..=200).rev() {
            latencies.record(Duration::from_millis(millis));
        }
        let expected = Summary {
            count: 200,
            p50_ms: 100.0,
            p99_ms: 198.0,
            max_ms: 200.0,
        };
        assert_eq!(latencies.summary(), expected);
    }

    #[test]
    fn nothing_measured_is_all_zeros() {
        assert_eq!(Latencies::default().summary().count, 0);
    }
}
