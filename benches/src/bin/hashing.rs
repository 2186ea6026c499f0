//! How many passwords this machine can hash: Argon2id on all cores and nothing else.
//!
//! The upper bound of logins per second. Prints one line of JSON.

use std::num::NonZero;
use std::thread;
use std::time::{Duration, Instant};

use argon2::{Algorithm, Argon2, Params, Version};
use clap::Parser as _;

/// Hash passwords on all cores for a while and print how many it made a second.
#[derive(clap::Parser)]
struct Arguments {
    /// How long
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
}

/// OWASP's minimum, which the server uses too: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19 * 1024;

fn main() -> Result<(), argon2::Error> {
    let params = Params::new(MEMORY_KIB, 2, 1, None)?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let start = Instant::now();
    let end = start + Duration::from_secs_f64(Arguments::parse().seconds);
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let counts: Result<Vec<u32>, _> = thread::scope(|scope| {
        let hashers: Vec<_> = (0..cores)
            .map(|_| scope.spawn(|| hash_until(&argon2, end)))
            .collect();
        hashers
            .into_iter()
            .map(|hasher| hasher.join().expect("hashing does not panic"))
            .collect()
    });
    let total: u32 = counts?.iter().sum();
    let rate = f64::from(total) / start.elapsed().as_secs_f64();
    println!("{}", serde_json::json!({"rate": rate, "cores": cores}));
    Ok(())
}

/// Hashes until `end`; how many.
fn hash_until(argon2: &Argon2<'_>, end: Instant) -> Result<u32, argon2::Error> {
    let mut output = [0; 32];
    let mut count = 0;
    while Instant::now() < end {
        argon2.hash_password_into(b"a password hash", b"sixteen byte salt", &mut output)?;
        count += 1;
    }
    Ok(count)
}
