//! The suite that every store passes.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use lockgate_message::state::{
    Change, Claimed, KEY_MAX, Space, Staged, StateError, Store, VALUE_MAX, Write,
};

pub(crate) const LONG: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(50);

pub(crate) fn space(stage: &str) -> Space {
    Space { pipeline: "orders".into(), stage: stage.into() }
}

pub(crate) fn put(space: &Space, key: &[u8], value: &[u8], ttl: Option<Duration>) -> Write {
    write(space, key, Change::Put { value: value.to_vec(), ttl })
}

pub(crate) fn write(space: &Space, key: &[u8], change: Change) -> Write {
    Write { space: space.clone(), key: key.to_vec(), change }
}

pub(crate) fn keep(space: &Space, key: &[u8], claim: u64, ttl: Duration) -> Write {
    write(space, key, Change::Keep { claim, ttl })
}

pub(crate) fn ours(claimed: Result<Claimed, StateError>) -> u64 {
    match claimed {
        Ok(Claimed::Ours(claim)) => claim,
        other => panic!("not ours: {other:?}"),
    }
}

/// Waits until `met`, and fails when that never comes.
#[expect(clippy::disallowed_methods, reason = "the interval of polling decides nothing")]
pub(crate) fn until(what: &str, mut met: impl FnMut() -> bool) {
    let limit = Instant::now() + Duration::from_secs(30);
    while !met() {
        assert!(Instant::now() < limit, "{what} never came to be");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// What a store says once it is there: connections that are made while others keep the disk busy
/// can come too late.
fn patiently<T>(ask: impl Fn() -> Result<T, StateError>) -> T {
    let mut answer = None;
    until("an answer of the store", || match ask() {
        Err(StateError::Unavailable(_)) => false,
        other => {
            answer = Some(other);
            true
        }
    });
    answer.unwrap().unwrap()
}

/// Everything but restarts, on a fresh store.
pub(crate) fn all(store: &Arc<dyn Store>) {
    values(&**store);
    changes_in_order(&**store);
    odd_and_big(&**store);
    spaces_and_kinds_apart(&**store);
    claims(&**store);
    claims_of_threads(store);
    staged(store);
    counters(&**store);
    counters_of_threads(store);
}

fn values(store: &dyn Store) {
    let s = space("values");
    assert_eq!(store.get(&s, b"k"), Ok(None));
    store.commit(&[]).unwrap();
    store.commit(&[put(&s, b"k", b"v", None), put(&s, b"l", b"", Some(LONG))]).unwrap();
    assert_eq!(store.get(&s, b"k"), Ok(Some(b"v".to_vec())));
    assert_eq!(store.get(&s, b"l"), Ok(Some(Vec::new())));
    store.commit(&[put(&s, b"k", b"w", Some(SHORT)), write(&s, b"l", Change::Delete)]).unwrap();
    assert_eq!(store.get(&s, b"l"), Ok(None));
    until("the end of a value", || store.get(&s, b"k") == Ok(None));
    // One that ended can be written again, and one without end has none.
    store.commit(&[put(&s, b"k", b"x", Some(Duration::MAX))]).unwrap();
    assert_eq!(store.get(&s, b"k"), Ok(Some(b"x".to_vec())));
    store.commit(&[put(&s, b"z", b"x", Some(Duration::ZERO))]).unwrap();
    until("the end of a value that has no time", || store.get(&s, b"z") == Ok(None));
    store.commit(&[write(&s, b"never there", Change::Delete)]).unwrap();
}

fn changes_in_order(store: &dyn Store) {
    let s = space("order");
    let deleted = write(&s, b"k", Change::Delete);
    store.commit(&[put(&s, b"k", b"1", None), deleted.clone()]).unwrap();
    assert_eq!(store.get(&s, b"k"), Ok(None));
    let last = [put(&s, b"k", b"1", Some(SHORT)), deleted, put(&s, b"k", b"2", None)];
    store.commit(&last).unwrap();
    assert_eq!(store.get(&s, b"k"), Ok(Some(b"2".to_vec())));
}

fn odd_and_big(store: &dyn Store) {
    let s = space("odd");
    let keys: [&[u8]; 6] = [b"", b"\0", b"\0\0", b":", b"\xff\xfe", &[b'k'; KEY_MAX]];
    let big = vec![7; VALUE_MAX];
    for (at, key) in keys.iter().enumerate() {
        store.commit(&[put(&s, key, &[at as u8], None)]).unwrap();
        assert!(matches!(store.claim(&s, key), Ok(Claimed::Ours(_))));
        assert_eq!(store.add(&s, key, at as i64, LONG), Ok(at as i64));
    }
    for (at, key) in keys.iter().enumerate() {
        assert_eq!(store.get(&s, key), Ok(Some(vec![at as u8])));
    }
    store.commit(&[put(&s, keys[5], &big, None)]).unwrap();
    assert_eq!(store.get(&s, keys[5]), Ok(Some(big)));
    let long = [b'k'; KEY_MAX + 1];
    assert!(matches!(store.get(&s, &long), Err(StateError::Invalid(_))));
    assert!(matches!(store.claim(&s, &long), Err(StateError::Invalid(_))));
    assert!(matches!(store.add(&s, &long, 1, LONG), Err(StateError::Invalid(_))));
}

fn spaces_and_kinds_apart(store: &dyn Store) {
    let (a, b) = (space("apart"), Space { pipeline: "other".into(), stage: "apart".into() });
    store.commit(&[put(&a, b"k", b"a", None), put(&b, b"k", b"b", None)]).unwrap();
    let (in_a, in_b) = (ours(store.claim(&a, b"k")), ours(store.claim(&b, b"k")));
    assert_eq!(store.add(&a, b"k", 1, LONG), Ok(1));
    assert_eq!(store.add(&b, b"k", 2, LONG), Ok(2));
    store.commit(&[keep(&a, b"k", in_a, LONG)]).unwrap();
    assert_eq!(store.claim(&a, b"k"), Ok(Claimed::Kept));
    assert_eq!(store.claim(&b, b"k"), Ok(Claimed::InFlight));
    store.release(&b, b"k", in_b);
    assert_eq!(store.get(&a, b"k"), Ok(Some(b"a".to_vec())));
    assert_eq!(store.get(&b, b"k"), Ok(Some(b"b".to_vec())));
    store.commit(&[write(&a, b"k", Change::Delete)]).unwrap();
    assert_eq!(store.claim(&a, b"k"), Ok(Claimed::Kept), "deleting a value releases no claim");
}

fn claims(store: &dyn Store) {
    let s = space("claims");
    let claim = ours(store.claim(&s, b"k"));
    assert_eq!(store.claim(&s, b"k"), Ok(Claimed::InFlight));
    store.release(&s, b"k", claim + 1_000_000);
    assert_eq!(store.claim(&s, b"k"), Ok(Claimed::InFlight), "another's number releases nothing");
    store.release(&s, b"k", claim);
    let again = claim_soon(store, &s, b"k");
    assert_ne!(again, claim);
    // Nobody has this number any more.
    store.commit(&[keep(&s, b"k", claim, LONG)]).unwrap();
    assert_eq!(store.claim(&s, b"k"), Ok(Claimed::InFlight));
    store.commit(&[keep(&s, b"k", again, SHORT)]).unwrap();
    store.release(&s, b"k", again);
    let later = claim_soon(store, &s, b"k");
    store.commit(&[keep(&s, b"k", later, LONG)]).unwrap();
    assert_eq!(store.claim(&s, b"k"), Ok(Claimed::Kept));
    // A commit that is repeated, for its answer was lost, changes nothing.
    store.commit(&[keep(&s, b"k", later, SHORT)]).unwrap();
    store.release(&s, b"k", later);
    assert_eq!(store.claim(&s, b"k"), Ok(Claimed::Kept));
}

/// A release may take its time.
pub(crate) fn claim_soon(store: &dyn Store, space: &Space, key: &[u8]) -> u64 {
    let claimed = AtomicUsize::new(0);
    until("a free claim", || match store.claim(space, key) {
        Ok(Claimed::Ours(claim)) => {
            claimed.store(claim as usize, Ordering::Relaxed);
            true
        }
        Ok(_) | Err(StateError::Unavailable(_)) => false,
        Err(error) => panic!("{error}"),
    });
    claimed.into_inner() as u64
}

fn claims_of_threads(store: &Arc<dyn Store>) {
    const THREADS: usize = 8;
    const KEYS: usize = 50;
    let start = Barrier::new(THREADS);
    let s = space("threads");
    let won: Vec<Vec<usize>> = std::thread::scope(|scope| {
        let claiming = |_| {
            scope.spawn(|| {
                start.wait();
                let mut won = Vec::new();
                for key in 0..KEYS {
                    let name = key.to_be_bytes();
                    if let Claimed::Ours(claim) = patiently(|| store.claim(&s, &name)) {
                        won.push(key);
                        patiently(|| store.commit(&[keep(&s, &name, claim, LONG)]));
                    }
                }
                won
            })
        };
        let threads: Vec<_> = (0..THREADS).map(claiming).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let won = won.concat();
    assert_eq!(won.len(), KEYS, "each key is won once");
    assert_eq!(won.into_iter().collect::<HashSet<_>>().len(), KEYS);
}

fn staged(store: &Arc<dyn Store>) {
    let s = space("staged");
    let stage = |key: &[u8]| {
        let claim = ours(store.claim(&s, key));
        Staged::new(store.clone(), vec![keep(&s, key, claim, LONG), put(&s, key, b"v", None)])
    };
    let (done, failed) = (stage(b"done"), stage(b"failed"));
    assert_eq!(store.get(&s, b"done"), Ok(None), "nothing is seen before the commit");
    drop(failed);
    Staged::commit_all(&mut vec![done]).unwrap();
    assert_eq!(store.claim(&s, b"done"), Ok(Claimed::Kept));
    assert_eq!(store.get(&s, b"done"), Ok(Some(b"v".to_vec())));
    claim_soon(&**store, &s, b"failed");
    assert_eq!(store.get(&s, b"failed"), Ok(None));
}

fn counters(store: &dyn Store) {
    let s = space("counters");
    assert_eq!(store.add(&s, b"k", 5, LONG), Ok(5));
    assert_eq!(store.add(&s, b"k", -7, SHORT), Ok(-2));
    assert_eq!(store.add(&s, b"k", 0, SHORT), Ok(-2), "the first addition says when it ends");
    assert_eq!(store.add(&s, b"max", i64::MAX, LONG), Ok(i64::MAX));
    assert!(matches!(store.add(&s, b"max", 1, LONG), Err(StateError::Invalid(_))));
    assert_eq!(store.add(&s, b"max", 0, LONG), Ok(i64::MAX));
    assert_eq!(store.add(&s, b"end", 5, SHORT), Ok(5));
    until("the end of a counter", || store.add(&s, b"end", 0, SHORT) == Ok(0));
}

fn counters_of_threads(store: &Arc<dyn Store>) {
    let s = space("sums");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                (0..200).for_each(|_| _ = patiently(|| store.add(&s, b"k", 1, LONG)));
            });
        }
    });
    assert_eq!(store.add(&s, b"k", 0, LONG), Ok(1_600));
}
