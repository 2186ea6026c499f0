//! How much memory the server takes, as the kernel counts it.

use super::World;

impl World {
    /// A figure of the server's memory, in KiB: `VmRSS` is what it has now, `VmHWM` the most it had.
    pub(crate) fn memory_kib(&self, figure: &str) -> u64 {
        let path = format!("/proc/{}/status", self.server.pid());
        let status = std::fs::read_to_string(path).expect("the kernel tells");
        let line = status
            .lines()
            .find(|line| line.starts_with(figure))
            .expect("the figure is there");
        let kib = line.split_whitespace().nth(1).expect("a number");
        kib.parse().expect("a number")
    }

    /// Has the kernel note the highest figure anew, from here on.
    pub(crate) fn forget_peak(&self) {
        let pid = self.server.pid();
        std::fs::write(format!("/proc/{pid}/clear_refs"), "5").expect("the kernel listens");
    }

    /// By how much the server's memory grows, in KiB, while something is done for the second time;
    /// and what that returns. What anything of its kind needs once is taken by then.
    pub(crate) fn growth<T>(&self, act: impl Fn() -> T) -> (u64, T) {
        act();
        self.forget_peak();
        let before = self.memory_kib("VmRSS");
        let done = act();
        (self.memory_kib("VmHWM").saturating_sub(before), done)
    }
}
