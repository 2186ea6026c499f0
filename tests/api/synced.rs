//! A success means: on disk. What is in the system's memory only would outlive a killed server as
//! well, so here the syncs themselves are slow, or fail.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

use crate::encommunication::people::join;
use crate::operations_refused::change_database;
use crate::world::{Reply, Setup, World, skips_sqlite_test, wait_for};

/// How long a slow sync takes at least.
const SLOW: Duration = Duration::from_millis(300);

const LOG: &str = "sealpost.db-wal";
const DATABASE: &str = "sealpost.db";

/// A server whose syncs can be had slow, or failing, and its people.
struct Faulty {
    world: World,
}

impl Faulty {
    fn start() -> Self {
        let home = TempDir::new().expect("a temporary directory");
        let library = home.path().join("faults.so");
        build(&library);
        for fault in ["slow", "fail"] {
            std::fs::create_dir(home.path().join(fault)).expect("made");
        }
        let setup = Setup::new()
            .env("LD_PRELOAD", library.display())
            .env("SYNC_FAULTS", home.path().display());
        let data_dir = home.path().join("data");
        let world = setup.start_on(home, data_dir);
        world.people(["alice", "bob"]);
        Faulty { world }
    }

    /// Has every sync of `file` be `slow`, or `fail`, from now on.
    fn set(&self, fault: &str, file: &str) {
        let place = self.world.home().join(fault).join(file);
        std::fs::write(place, "").expect("written");
    }

    fn clear(&self, fault: &str, file: &str) {
        let place = self.world.home().join(fault).join(file);
        std::fs::remove_file(place).expect("it was set");
    }

    fn send(&self, content: &str) -> Reply {
        self.world.person("alice").try_send("bob", content)
    }

    fn inbox(&self) -> BTreeSet<String> {
        let inbox = self.world.person("bob").inbox();
        let contents = inbox.iter().map(|item| item["encrypted_content"].as_str());
        contents.map(|it| it.expect("text").to_owned()).collect()
    }

    /// Neither a message nor anything else is taken, and everybody can see that.
    #[track_caller]
    fn assert_takes_no_writes(&self) {
        self.send("not this one").error(503);
        let carol = json!({"user_id": "carol", "password_hash": "x", "public_key": "y"});
        self.world.post("/auth/register", &carol).error(503);
        assert_eq!(self.world.get("/readyz", &[]).status, 503);
        assert_eq!(self.world.get("/healthz", &[]).status, 200);
    }

    /// Everything that was acknowledged is there, nothing that was refused but `doubtful`, of
    /// which nobody can tell, and the store takes more.
    #[track_caller]
    fn assert_is_sound(&self, acknowledged: &BTreeSet<String>, doubtful: &str) {
        let mut found = self.inbox();
        found.remove(doubtful);
        assert!(found == *acknowledged, "what was acknowledged and no more");
        assert_eq!(self.world.get("/readyz", &[]).status, 200);
        self.send("written again").ok();
    }
}

/// The C compiler is there: SQLite has been compiled with it.
fn build(library: &Path) {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/api/synced/faults.c");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-o"]).arg(library);
    let status = compiler.arg(source).status().expect("cc runs");
    assert!(status.success(), "{source} compiles");
}

#[test]
fn a_write_is_acknowledged_after_its_sync() {
    if skips_sqlite_test() {
        return;
    }
    let faulty = Faulty::start();
    let world = &faulty.world;
    let [carol, dan] = ["carol", "dan"].map(|name| join(world, name));
    let mut of_dan = dan.connect();
    faulty.set("slow", LOG);
    let began = Instant::now();
    faulty.send("sealed").ok();
    assert!(began.elapsed() >= SLOW, "a message");
    let began = Instant::now();
    world.register("erin");
    assert!(began.elapsed() >= SLOW, "an account");
    let mut of_carol = carol.connect();
    let began = Instant::now();
    of_carol.send(&carol.frame(&dan, "sealed", "key"));
    of_dan.frame();
    assert!(began.elapsed() >= SLOW, "it reaches nobody before");
}

#[test]
fn after_a_failed_sync_nothing_is_written_until_the_next_start() {
    if skips_sqlite_test() {
        return;
    }
    let mut faulty = Faulty::start();
    for is_killed in [true, false] {
        let acknowledged = (0..5).map(|n| format!("{is_killed} {n}"));
        let acknowledged: BTreeSet<_> = acknowledged.chain(faulty.inbox()).collect();
        for content in acknowledged.difference(&faulty.inbox()) {
            faulty.send(content).ok();
        }
        faulty.set("fail", LOG);
        let doubtful = format!("{is_killed} doubtful");
        faulty.send(&doubtful).error(503);
        faulty.assert_takes_no_writes();
        faulty.clear("fail", LOG);
        // Of what the failed sync was to write, the next one would say nothing.
        faulty.assert_takes_no_writes();
        assert_eq!(faulty.inbox(), acknowledged, "reads go on");
        if !is_killed {
            assert!(faulty.world.server.stop().success());
        }
        faulty.world.restart();
        faulty.assert_is_sound(&acknowledged, &doubtful);
    }
}

#[test]
fn after_a_checkpoint_that_could_not_be_synced_nothing_is_written_until_the_next_start() {
    if skips_sqlite_test() {
        return;
    }
    let mut faulty = Faulty::start();
    faulty.set("fail", DATABASE);
    // Only a log of tens of thousands of pages is worth a checkpoint. This one makes none itself.
    let much = "PRAGMA wal_autocheckpoint = 0;
                CREATE TABLE much (bytes BLOB);
                INSERT INTO much VALUES (zeroblob(90000000))";
    change_database(&faulty.world, much);
    let mut acknowledged = BTreeSet::new();
    let doubtful = wait_for(|| {
        let content = acknowledged.len().to_string();
        if faulty.send(&content).status != 200 {
            return Some(content);
        }
        acknowledged.insert(content);
        None
    });
    faulty.clear("fail", DATABASE);
    faulty.assert_takes_no_writes();
    faulty.world.restart();
    faulty.assert_is_sound(&acknowledged, &doubtful);
}
