//! Pool: ready connections for the lanes. They are made by the keeper alone: a lane never resolves
//! a name nor shakes hands. After any failure of a connection all are thrown away, and calls are
//! refused at once until the keeper has a new one.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lockgate_message::state::StateError;
use redis::{Client, Connection, ErrorKind, RedisError, RedisResult, ServerErrorKind};

/// Most connections at a time; a caller beyond waits for one.
const CONNECTIONS: usize = 64;
/// Longest time to connect and log in.
const CONNECT: Duration = Duration::from_secs(1);
/// A key that nobody has: deleting it shows whether the server takes writes.
const PROBE: &str = "lockgate:probe";
/// Most releases that wait for the server; what is beyond lets its lease run out.
const RELEASES: usize = 65_536;

pub(super) struct Pool {
    client: Client,
    /// Longest wait of a lane.
    pub(super) deadline: Duration,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    idle: Vec<Connection>,
    /// Connections there are, idle or in use, of this generation.
    open: usize,
    /// Callers that wait for a connection.
    waiting: usize,
    generation: u64,
    /// Why there is none.
    down: Option<String>,
    releases: VecDeque<(Vec<u8>, String)>,
    stopped: bool,
}

/// What the keeper is to do next.
pub(super) enum Task {
    Connect,
    Release(Vec<(Vec<u8>, String)>),
    Renew,
    Stop,
}

impl Pool {
    pub(super) fn new(client: Client, deadline: Duration) -> Self {
        let state = State {
            idle: Vec::new(),
            open: 0,
            waiting: 0,
            generation: 0,
            down: None,
            releases: VecDeque::new(),
            stopped: false,
        };
        Self { client, deadline, state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Runs `work` on a connection; no read or write of it takes longer than `deadline`.
    pub(super) fn call<T>(
        &self,
        deadline: Duration,
        work: impl FnOnce(&mut Connection) -> RedisResult<T>,
    ) -> Result<T, StateError> {
        let (mut connection, generation) = self.take()?;
        let timed = connection
            .set_read_timeout(Some(deadline))
            .and_then(|()| connection.set_write_timeout(Some(deadline)));
        match timed.and_then(|()| work(&mut connection)) {
            Ok(value) => {
                self.give_back(connection, generation);
                Ok(value)
            }
            Err(error) if is_answer(&error) => {
                self.give_back(connection, generation);
                Err(refusal(&error))
            }
            Err(error) => {
                // An answer that comes late must not be taken for the next call's.
                self.fail(generation, &error);
                Err(refusal(&error))
            }
        }
    }

    /// Gives a claim back soon, without waiting for the server.
    pub(super) fn release(&self, name: Vec<u8>, token: String) {
        let mut state = self.state();
        if state.releases.len() < RELEASES {
            state.releases.push_back((name, token));
            self.changed.notify_all();
        }
    }

    /// Waits for something to do. While the server is away that is only to connect again, not
    /// before `retry`.
    pub(super) fn task(&self, retry: Instant, renewal: Instant) -> Task {
        let mut state = self.state();
        loop {
            let now = Instant::now();
            if state.stopped {
                return Task::Stop;
            }
            let short = state.waiting > state.idle.len() && state.open < CONNECTIONS;
            let until = if state.down.is_some() { retry } else { renewal };
            if state.down.is_some() {
                if now >= retry {
                    return Task::Connect;
                }
            } else if short || state.open == 0 {
                return Task::Connect;
            } else if now >= renewal {
                return Task::Renew;
            } else if !state.releases.is_empty() {
                let some = state.releases.len().min(256);
                return Task::Release(state.releases.drain(..some).collect());
            }
            let left = until.saturating_duration_since(now);
            let waited = self.changed.wait_timeout(state, left);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Makes a connection; whether that worked.
    pub(super) fn connect(&self) -> bool {
        let made = self.client.get_connection_with_timeout(CONNECT).and_then(|mut connection| {
            // One that takes no writes (a replica) is of no use, and not to be tried by messages.
            connection.set_read_timeout(Some(CONNECT))?;
            redis::cmd("DEL").arg(PROBE).exec(&mut connection)?;
            Ok(connection)
        });
        let mut state = self.state();
        let worked = match made {
            Ok(connection) => {
                if let Some(was) = state.down.take() {
                    tracing::info!(was, "the state's server answers again");
                }
                state.open += 1;
                state.idle.push(connection);
                true
            }
            Err(error) => {
                if state.down.is_none() {
                    tracing::warn!(%error, "no connection to the state's server");
                }
                state.close(error.to_string());
                false
            }
        };
        self.changed.notify_all();
        worked
    }

    pub(super) fn stop(&self) {
        self.state().stopped = true;
        self.changed.notify_all();
    }

    fn take(&self) -> Result<(Connection, u64), StateError> {
        let until = Instant::now() + self.deadline;
        let mut state = self.state();
        loop {
            if let Some(why) = &state.down {
                return Err(StateError::Unavailable(why.clone()));
            }
            if let Some(connection) = state.idle.pop() {
                return Ok((connection, state.generation));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(StateError::Unavailable("no connection is free".to_owned()));
            }
            state.waiting += 1;
            self.changed.notify_all();
            let waited = self.changed.wait_timeout(state, left);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
            state.waiting = state.waiting.saturating_sub(1);
        }
    }

    fn give_back(&self, connection: Connection, generation: u64) {
        let mut state = self.state();
        if state.generation == generation {
            state.idle.push(connection);
            self.changed.notify_all();
        }
    }

    fn fail(&self, generation: u64, error: &RedisError) {
        let mut state = self.state();
        if state.generation == generation {
            tracing::warn!(%error, "the state's server failed, connecting again");
            state.close(error.to_string());
            self.changed.notify_all();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn close(&mut self, why: String) {
        self.idle.clear();
        self.open = 0;
        self.generation += 1;
        self.down = Some(why);
    }
}

/// Whether the server answered, so that the connection can be used further. One that became a
/// replica answers for ever that it takes no writes: whoever does now is behind the same name.
fn is_answer(error: &RedisError) -> bool {
    match error.kind() {
        ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown) => false,
        // Before Redis 7 that is within the error of the script.
        ErrorKind::Server(_) | ErrorKind::Extension => !error.to_string().contains("READONLY"),
        _ => false,
    }
}

fn refusal(error: &RedisError) -> StateError {
    let text = error.to_string();
    if text.contains("would overflow") {
        return StateError::Invalid("the counter would overflow".to_owned());
    }
    StateError::Unavailable(text)
}
