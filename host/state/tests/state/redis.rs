//! The Redis store against a real server: two hosts, restarts, silence, refusals.

use std::sync::Arc;
use std::time::Duration;

use lockgate_message::state::{Claimed, StateError, Store};
use lockgate_state::{DEADLINE, Redis};

use crate::conformance::{LONG, all, claim_soon, keep, ours, put, space, until};
use crate::server::Server;

/// A patient one: the machine may be busy.
fn open(url: &str) -> Redis {
    Redis::open(url, Duration::from_secs(30)).unwrap()
}

fn unavailable<T>(result: &Result<T, StateError>) -> bool {
    matches!(result, Err(StateError::Unavailable(_)))
}

#[test]
fn redis_conforms() {
    let server = Server::start();
    let store: Arc<dyn Store> = Arc::new(open(&server.url()));
    all(&store);
}

#[test]
fn two_hosts_see_each_other() {
    let server = Server::start();
    let (a, b) = (open(&server.url()), open(&server.url()));
    let s = space("hosts");
    let claim = ours(a.claim(&s, b"k"));
    assert_eq!(b.claim(&s, b"k"), Ok(Claimed::InFlight));
    // The same number at another host is another claim.
    let other = ours(b.claim(&s, b"l"));
    assert_eq!(claim, other - 1);
    b.commit(&[keep(&s, b"k", claim, LONG)]).unwrap();
    assert_eq!(b.claim(&s, b"k"), Ok(Claimed::InFlight));
    a.commit(&[keep(&s, b"k", claim, LONG), put(&s, b"k", b"v", None)]).unwrap();
    assert_eq!(b.claim(&s, b"k"), Ok(Claimed::Kept));
    assert_eq!(b.get(&s, b"k"), Ok(Some(b"v".to_vec())));
    assert_eq!((a.add(&s, b"n", 1, LONG), b.add(&s, b"n", 1, LONG)), (Ok(1), Ok(2)));
}

#[test]
fn a_claim_has_a_lease_and_one_that_ran_out_is_another_s() {
    let server = Server::start();
    let (a, b) = (open(&server.url()), open(&server.url()));
    let s = space("lease");
    let claim = ours(a.claim(&s, b"k"));
    let lease = server.say("PTTL lockgate:orders:lease:c:k").unwrap();
    let lease: u64 = lease.trim_start_matches(':').parse().unwrap();
    assert!((1..=60_000).contains(&lease), "{lease}");
    // What happens at its end, now.
    assert_eq!(server.say("DEL lockgate:orders:lease:c:k").as_deref(), Some(":1"));
    let other = ours(b.claim(&s, b"k"));
    a.commit(&[keep(&s, b"k", claim, LONG)]).unwrap();
    assert_eq!(a.claim(&s, b"k"), Ok(Claimed::InFlight), "the other's claim is not overwritten");
    b.commit(&[keep(&s, b"k", other, LONG)]).unwrap();
    assert_eq!(a.claim(&s, b"k"), Ok(Claimed::Kept));
    // A lease that ran out, and nobody took the claim: it is kept all the same.
    let claim = ours(a.claim(&s, b"m"));
    assert_eq!(server.say("DEL lockgate:orders:lease:c:m").as_deref(), Some(":1"));
    a.commit(&[keep(&s, b"m", claim, LONG)]).unwrap();
    assert_eq!(b.claim(&s, b"m"), Ok(Claimed::Kept));
}

/// A message may be in flight for longer than a lease.
#[test]
fn a_claim_that_is_held_is_renewed() {
    let server = Server::start();
    let store = open(&server.url());
    let s = space("renewal");
    let claim = ours(store.claim(&s, b"k"));
    let key = "lockgate:orders:renewal:c:k";
    // Past the first renewal, before the end of the lease.
    assert_eq!(server.say(&format!("PEXPIRE {key} 30000")).as_deref(), Some(":1"));
    until("a longer lease", || {
        let left = server.say(&format!("PTTL {key}")).unwrap();
        left.trim_start_matches(':').parse::<i64>().unwrap() > 30_000
    });
    store.commit(&[keep(&s, b"k", claim, LONG)]).unwrap();
    assert_eq!(store.claim(&s, b"k"), Ok(Claimed::Kept));
}

#[test]
fn a_server_that_restarts_is_found_again() {
    let mut server = Server::start();
    let store = open(&server.url());
    let s = space("restart");
    let claim = ours(store.claim(&s, b"k"));
    store.commit(&[put(&s, b"v", b"1", Some(LONG)), keep(&s, b"k", claim, LONG)]).unwrap();
    assert_eq!(store.add(&s, b"n", 2, LONG), Ok(2));
    server.kill();
    assert!(unavailable(&store.get(&s, b"v")));
    assert!(unavailable(&store.commit(&[put(&s, b"v", b"2", None)])));
    assert!(unavailable(&store.claim(&s, b"l")));
    server.go();
    until("a connection", || store.get(&s, b"v").is_ok());
    assert_eq!(store.get(&s, b"v"), Ok(Some(b"1".to_vec())));
    assert_eq!(store.claim(&s, b"k"), Ok(Claimed::Kept));
    assert_eq!(store.add(&s, b"n", 1, LONG), Ok(3));
}

#[test]
fn a_silent_server_holds_nobody_up() {
    let server = Server::start();
    let store = Redis::open(&server.url(), DEADLINE).unwrap();
    let s = space("silence");
    until("a value", || store.commit(&[put(&s, b"k", b"v", None)]).is_ok());
    let claim = claim_soon(&store, &s, b"c");
    server.freeze(true);
    // That these come back at all is the test: nobody answers them.
    assert!(unavailable(&store.get(&s, b"k")));
    for _ in 0..1_000 {
        assert!(unavailable(&store.add(&s, b"n", 1, LONG)), "refused at once while it is away");
    }
    store.release(&s, b"c", claim);
    server.freeze(false);
    until("an answer", || store.get(&s, b"k") == Ok(Some(b"v".to_vec())));
    claim_soon(&store, &s, b"c");
}

#[test]
fn a_server_without_memory_refuses_and_none_of_a_commit_is_there() {
    let server = Server::start();
    let store = open(&server.url());
    let s = space("full");
    store.commit(&[put(&s, b"a", b"old", None)]).unwrap();
    assert_eq!(server.say("CONFIG SET maxmemory 1").as_deref(), Some("+OK"));
    assert!(unavailable(&store.commit(&[put(&s, b"a", b"new", None), put(&s, b"b", b"", None)])));
    assert_eq!(store.get(&s, b"a"), Ok(Some(b"old".to_vec())), "reading goes on");
    assert_eq!(server.say("CONFIG SET maxmemory 0").as_deref(), Some("+OK"));
    store.commit(&[put(&s, b"a", b"new", None)]).unwrap();
    assert_eq!(store.get(&s, b"b"), Ok(None));
}

/// A server that another took the place of keeps its connections, and answers that it takes no
/// writes: whoever takes them is found by connecting anew.
#[test]
fn a_server_that_became_a_replica_is_left() {
    let server = Server::start();
    let store = open(&server.url());
    let s = space("replica");
    store.commit(&[put(&s, b"k", b"v", None)]).unwrap();
    let made = || -> u64 {
        let all = server.tell("INFO stats");
        let line = all.lines().find_map(|line| line.strip_prefix("total_connections_received:"));
        line.unwrap().trim().parse().unwrap()
    };
    assert_eq!(server.say("REPLICAOF 127.0.0.1 1").as_deref(), Some("+OK"));
    let before = made();
    assert!(unavailable(&store.claim(&s, b"c")));
    // One each to ask; the others are the store's.
    let mut asked = 0;
    until("a new connection", || {
        asked += 1;
        made() > before + asked
    });
    assert_eq!(server.say("REPLICAOF NO ONE").as_deref(), Some("+OK"));
    claim_soon(&store, &s, b"c");
}

#[test]
fn a_server_that_is_not_there_and_a_url_that_is_none() {
    let mut server = Server::start();
    let url = format!("redis://127.0.0.1:{}/", server.port());
    server.kill();
    let store = open(&url);
    let s = space("nobody");
    assert!(unavailable(&store.get(&s, b"k")));
    for bad in ["", "localhost", "http://localhost", "amqp://u:hunter2@h"] {
        let error = Redis::open(bad, DEADLINE).err().expect(bad).to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }
}
