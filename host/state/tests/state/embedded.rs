//! The embedded store: restarts, quotas, sweeping, and files that cannot be used.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use lockgate_message::state::{Claimed, StateError, Store};
use lockgate_state::{Embedded, OpenError, Quota, Usage};
use tempfile::TempDir;

use crate::conformance::{LONG, all, keep, ours, put, space, until};

fn open(dir: &TempDir) -> Embedded {
    Embedded::open(&dir.path().join("state"), Quota::default()).unwrap()
}

#[test]
fn the_file_conforms() {
    let dir = TempDir::new().unwrap();
    let store: Arc<dyn Store> = Arc::new(open(&dir));
    all(&store);
}

#[test]
fn the_memory_conforms() {
    let store: Arc<dyn Store> = Arc::new(Embedded::in_memory(Quota::default()).unwrap());
    all(&store);
}

#[test]
fn a_restart_keeps_what_was_committed_and_releases_claims() {
    let dir = TempDir::new().unwrap();
    let s = space("restart");
    let short = Duration::from_millis(200);
    let before = {
        let store = open(&dir);
        let claim = ours(store.claim(&s, b"kept"));
        ours(store.claim(&s, b"in flight"));
        let writes = [
            put(&s, b"k", b"v", None),
            put(&s, b"l", b"v", Some(LONG)),
            put(&s, b"short", b"v", Some(short)),
            keep(&s, b"kept", claim, LONG),
        ];
        store.commit(&writes).unwrap();
        assert_eq!(store.add(&s, b"n", 3, LONG), Ok(3));
        assert_eq!(store.add(&s, b"n", 1, LONG), Ok(4));
        store.usage()
    };
    let store = open(&dir);
    assert_eq!(store.get(&s, b"k"), Ok(Some(b"v".to_vec())));
    assert_eq!(store.get(&s, b"l"), Ok(Some(b"v".to_vec())));
    assert_eq!(store.claim(&s, b"kept"), Ok(Claimed::Kept));
    ours(store.claim(&s, b"in flight"));
    assert_eq!(store.add(&s, b"n", 0, LONG), Ok(4));
    until("the end of a value", || store.get(&s, b"short") == Ok(None));
    // The counter was written when the store was closed; the short value may be swept by now.
    let [Usage { keys: 4, .. }] = before[..] else { panic!("{before:?}") };
    until("the accounts", || matches!(store.usage()[..], [Usage { keys: 4, .. }]));
}

#[test]
fn a_stage_has_a_quota_of_keys_and_of_bytes() {
    let s = space("quota");
    let store = Embedded::in_memory(Quota { bytes: 1_000, keys: 3 }).unwrap();
    let full = |result: Result<(), StateError>| matches!(result, Err(StateError::Quota(_)));
    assert_eq!(store.room(&s, 1_000), Ok(()));
    assert!(full(store.room(&s, 1_001)));
    let claim = ours(store.claim(&s, b"c"));
    assert_eq!(store.add(&s, b"n", 1, LONG), Ok(1));
    store.commit(&[put(&s, b"k", b"v", None)]).unwrap();
    assert!(full(store.room(&s, 1)));
    assert!(full(store.claim(&s, b"d").map(drop)));
    assert!(full(store.add(&s, b"m", 1, LONG).map(drop)));
    assert_eq!(store.add(&s, b"n", 1, LONG), Ok(2), "what is there may go on");
    assert_eq!(store.room(&space("another"), 1_000), Ok(()));
    store.commit(&[keep(&s, b"c", claim, LONG)]).unwrap();
    assert_eq!(store.claim(&s, b"c"), Ok(Claimed::Kept), "no quota hides what is kept");
    assert!(full(store.room(&s, 1)));
    // What was staged while there was room is stored whatever the quota says now.
    store.commit(&[put(&s, b"l", &[0; 2_000], None)]).unwrap();
    assert_eq!(store.get(&s, b"l").unwrap().unwrap().len(), 2_000);
}

#[test]
fn what_has_ended_is_swept_and_no_longer_counts() {
    let dir = TempDir::new().unwrap();
    let s = space("sweep");
    let store = open(&dir);
    // More than two steps.
    let keys = 2_500_u32;
    let ttl = Some(Duration::from_millis(1));
    let writes: Vec<_> = (0..keys).map(|key| put(&s, &key.to_be_bytes(), b"v", ttl)).collect();
    store.commit(&writes).unwrap();
    store.commit(&[put(&s, b"stays", b"value", Some(LONG))]).unwrap();
    assert_eq!(store.add(&s, b"counter", 1, Duration::from_millis(1)), Ok(1));
    // Ten bytes: the key and the value; and one for the kind.
    let left = vec![Usage { space: s.clone(), keys: 1, bytes: 11 }];
    until("an empty store", || store.usage() == left);
}

#[test]
fn the_folder_is_private_and_the_file_is_of_one_process() {
    let dir = TempDir::new().unwrap();
    let _store = open(&dir);
    let folder = dir.path().join("state");
    assert_eq!(folder.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    match Embedded::open(&folder, Quota::default()) {
        Err(OpenError::InUse(path)) => assert!(path.starts_with(&folder)),
        other => panic!("{:?}", other.err()),
    }
}

#[test]
fn a_damaged_file_is_an_error_with_a_way_out_and_never_a_panic() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("state/state.redb");
    let s = space("damage");
    let writes: Vec<_> = (0..500_u32).map(|k| put(&s, &k.to_be_bytes(), &[1; 500], None)).collect();
    open(&dir).commit(&writes).unwrap();
    let whole = std::fs::read(&file).unwrap();
    let refused = |bytes: &[u8], what: &str| {
        std::fs::write(&file, bytes).unwrap();
        match Embedded::open(&dir.path().join("state"), Quota::default()) {
            Err(OpenError::Damaged(path, _)) => assert_eq!(path, file),
            Err(other) => panic!("{what}: {other}"),
            Ok(_) => panic!("{what}: opened"),
        }
    };
    refused(b"this is no database, but it is longer than an empty file", "text");
    refused(&whole[..whole.len() / 2], "half a file");
    refused(&vec![0xff; whole.len()], "all ones");
    // Damage anywhere else is found at the start or when it is met; neither panics.
    for at in (0..whole.len()).step_by(whole.len() / 40) {
        let mut bytes = whole.clone();
        bytes[at..].iter_mut().take(64).for_each(|byte| *byte ^= 0x5a);
        std::fs::write(&file, &bytes).unwrap();
        if let Ok(store) = Embedded::open(&dir.path().join("state"), Quota::default()) {
            drop(store.get(&s, &7_u32.to_be_bytes()));
            drop(store.commit(&[put(&s, b"k", b"v", None)]));
        }
    }
}

#[test]
fn a_folder_that_cannot_be_made_is_an_error() {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("file"), "").unwrap();
    let result = Embedded::open(&dir.path().join("file/state"), Quota::default());
    assert!(matches!(result, Err(OpenError::Io(..))));
}
