//! The embedded store in a process of its own: killed at any moment, and with a full disk. The
//! process is this test binary again, told by its environment what to be.

use std::io::{BufRead, BufReader, Read, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use lockgate_message::state::{StateError, Store, Write};
use lockgate_state::{Embedded, Quota};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tempfile::TempDir;

use crate::conformance::{LONG, put, space, until};

const ROLE: &str = "LOCKGATE_TEST_STATE_DIR";
const KILLS: u32 = 50;
/// Keys of one block; each has the block's number as its value.
const BLOCK: u32 = 64;
/// Blocks use these keys in turn, so that later ones overwrite earlier ones.
const TURNS: u32 = 7;

/// Starts this binary again with only the test `name`, in `dir`.
fn again(name: &str, dir: &Path, shell: &str) -> Child {
    let me = std::env::current_exe().unwrap();
    Command::new("sh")
        .args(["-c", &format!("{shell} exec \"$0\" \"$@\"")])
        .arg(me)
        .args([name, "--exact", "--nocapture", "--ignored"])
        .env(ROLE, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn block(number: u32) -> Vec<Write> {
    let s = space("blocks");
    let name = |key: u32| [(number % TURNS).to_be_bytes(), key.to_be_bytes()].concat();
    (0..BLOCK).map(|key| put(&s, &name(key), &number.to_be_bytes(), Some(LONG))).collect()
}

/// The number of the block in each turn; fails where it is in part there.
fn stored(store: &Embedded) -> Vec<Option<u32>> {
    let s = space("blocks");
    let value = |turn: u32, key: u32| {
        let name = [turn.to_be_bytes(), key.to_be_bytes()].concat();
        store.get(&s, &name).unwrap().map(|v| u32::from_be_bytes(v.try_into().unwrap()))
    };
    let turn = |turn| {
        let first = value(turn, 0);
        (1..BLOCK).for_each(|key| assert_eq!(value(turn, key), first, "half a block"));
        first
    };
    (0..TURNS).map(turn).collect()
}

#[test]
fn what_was_committed_survives_a_kill_at_any_moment() {
    let dir = TempDir::new().unwrap();
    let mut last = 0;
    // Any seed does; it is printed when a check fails.
    let mut random = u64::from(std::process::id()) | 1;
    for kill in 0..KILLS {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let blocks = (random >> 33) % 12;
        let spins = (random >> 45) % 20_000;
        let mut child = again("killed::commits_blocks_for_ever", dir.path(), "");
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        let mut told = 0;
        while told < blocks {
            line.clear();
            assert_ne!(said.read_line(&mut line).unwrap(), 0, "the child ended by itself");
            if let Some(number) = line.strip_prefix("committed ") {
                last = number.trim().parse().unwrap();
                told += 1;
            }
        }
        (0..spins).for_each(|_| std::hint::spin_loop());
        child.kill().unwrap();
        child.wait().unwrap();
        // What it said before it died counts as well.
        let mut rest = String::new();
        said.read_to_string(&mut rest).unwrap();
        let whole = rest.rsplit_once('\n').map_or("", |(whole, _)| whole);
        for number in whole.lines().filter_map(|line| line.strip_prefix("committed ")) {
            last = number.parse().unwrap();
        }
        let store = Embedded::open(dir.path(), Quota::default()).unwrap();
        let stored = stored(&store);
        let newest = stored.iter().flatten().max().copied().unwrap_or_default();
        let told = format!("kill {kill}: told {last}, stored {stored:?}");
        // At most the block that was under way is there untold.
        assert!(newest == last || newest == last + 1, "{told}");
        for number in newest.saturating_sub(TURNS - 1).max(1)..=newest {
            assert_eq!(stored[(number % TURNS) as usize], Some(number), "{told}");
        }
        let keys = newest.min(TURNS) * BLOCK;
        let used: u64 = store.usage().iter().map(|usage| usage.keys).sum();
        assert_eq!(used, u64::from(keys), "the accounts agree: {told}");
    }
    assert!(last > KILLS, "the blocks went on after each restart: {last}");
}

/// Not a test: what the one above kills.
#[test]
#[ignore = "the process that another test starts and kills"]
fn commits_blocks_for_ever() {
    let Some(dir) = std::env::var_os(ROLE) else { return };
    let store = Embedded::open(Path::new(&dir), Quota::default()).unwrap();
    let newest = stored(&store).into_iter().flatten().max().unwrap_or_default();
    for number in newest + 1.. {
        store.commit(&block(number)).unwrap();
        // Past the test harness, which would keep it.
        writeln!(std::io::stdout().lock(), "committed {number}").unwrap();
        std::io::stdout().flush().unwrap();
    }
}

#[test]
fn a_full_disk_is_said_and_healed_from() {
    let dir = TempDir::new().unwrap();
    // Files may grow to 4 MiB (512-byte blocks), and to grow further is an error, not a signal.
    let shell = "trap '' XFSZ; ulimit -S -f 8192;";
    let mut child = again("killed::fills_the_disk", dir.path(), shell);
    let mut said = String::new();
    child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(child.wait().unwrap().success(), "{said}");
    assert!(said.contains("full\n") && said.contains("healed\n"), "{said}");
}

/// Not a test: the process with a small disk.
#[test]
#[ignore = "the process that another test starts"]
fn fills_the_disk() {
    let Some(dir) = std::env::var_os(ROLE) else { return };
    let s = space("full");
    let store = Embedded::open(Path::new(&dir), Quota::default()).unwrap();
    let value = vec![1; 60_000];
    let fill = |number: u32| store.commit(&[put(&s, &number.to_be_bytes(), &value, None)]);
    let (mut stored, mut refused) = (0, None);
    while refused.is_none() && stored < 1_000 {
        match fill(stored) {
            Ok(()) => stored += 1,
            Err(error) => refused = Some(error),
        }
    }
    assert!(matches!(refused, Some(StateError::Unavailable(_))), "{refused:?}");
    println!("\nfull");
    let limit = getrlimit(Resource::Fsize);
    setrlimit(Resource::Fsize, Rlimit { current: None, ..limit }).unwrap();
    until("a disk with room", || fill(stored).is_ok());
    for number in 0..=stored {
        assert_eq!(store.get(&s, &number.to_be_bytes()), Ok(Some(value.clone())), "{number}");
    }
    let keys: Vec<u64> = store.usage().iter().map(|usage| usage.keys).collect();
    assert_eq!(keys, [u64::from(stored) + 1]);
    println!("healed");
}
