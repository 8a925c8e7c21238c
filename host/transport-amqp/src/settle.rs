//! Settling: the one task that tells the broker what became of deliveries.
//!
//! Only this task acks, and only through `Channel::basic_ack`: acks from several tasks overtake
//! each other, and one that covers a delivery acked before closes the channel.

mod ledger;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use lapin::Channel;
use lapin::options::{BasicAckOptions, BasicNackOptions, BasicRejectOptions};
use lockgate_message::{Settle, Settlement};
use tokio::sync::{Notify, watch};

use ledger::{FLUSH_COUNT, Ledger, Tell};

/// Time for handing one ack to the socket; then the connection is taken for dead.
const TELL: Duration = Duration::from_secs(10);

/// Where the deliveries of one source generation are settled.
#[derive(Debug)]
pub(crate) struct Settler {
    inbound: Mutex<Inbound>,
    wake: Notify,
    live: AtomicBool,
    /// What is given back stays with the connection, which returns it when it closes.
    in_order: AtomicBool,
    failure: OnceLock<String>,
    /// Turns true when the task is gone.
    ended: watch::Sender<bool>,
}

/// What the task has not seen yet. The prefetch bounds it.
#[derive(Clone, Debug, Default)]
struct Inbound {
    handed: Vec<u64>,
    settled: Vec<(u64, Settlement)>,
    /// Handed out in all.
    all: u64,
    /// Handed out and not settled, whether the task has seen it or not.
    open: usize,
    /// The task will look again soon by itself: only a full block or the last one is urgent.
    patient: bool,
    /// The task was woken and has not looked yet.
    woken: bool,
    closing: bool,
}

impl Inbound {
    fn urgent(&self) -> bool {
        let waiting = self.settled.len();
        waiting > 0 && (!self.patient || waiting >= FLUSH_COUNT || self.open == 0)
    }

    /// Takes a settlement on; whether the task must be woken.
    fn settle(&mut self, tag: u64, settlement: Settlement) -> bool {
        self.settled.push((tag, settlement));
        self.open = self.open.saturating_sub(1);
        // Woken already, unless this one makes it urgent.
        let wake = !self.woken && self.urgent();
        self.woken |= wake;
        wake
    }

    /// Moves what is new out; says whether to close.
    fn drain(&mut self, handed: &mut Vec<u64>, settled: &mut Vec<(u64, Settlement)>) -> bool {
        std::mem::swap(&mut self.handed, handed);
        std::mem::swap(&mut self.settled, settled);
        self.woken = false;
        self.closing
    }

    /// Whether there is nothing to do now. `patient`: something is to be flushed later, so that
    /// single settlements need not wake the task.
    fn may_sleep(&mut self, patient: bool) -> bool {
        self.patient = patient;
        !self.urgent() && !self.closing
    }
}

impl Settler {
    /// Starts the task. It ends with [`Settler::close`], [`Settler::abandon`] or a failure.
    pub(crate) fn start(channel: Channel) -> Arc<Self> {
        let settler = Arc::new(Self {
            inbound: Mutex::default(),
            wake: Notify::new(),
            live: AtomicBool::new(true),
            in_order: AtomicBool::new(false),
            failure: OnceLock::new(),
            ended: watch::Sender::new(false),
        });
        tokio::spawn(run(settler.clone(), channel));
        settler
    }

    /// Deliveries go out to be settled; tags ascend from call to call.
    pub(crate) fn handed(&self, tags: impl IntoIterator<Item = u64>) {
        let mut inbound = self.lock();
        let before = inbound.handed.len();
        inbound.handed.extend(tags);
        let count = inbound.handed.len() - before;
        inbound.open += count;
        inbound.all += count as u64;
    }

    /// The broker will not hear of anything more: settling is pointless.
    pub(crate) fn abandon(&self) {
        self.live.store(false, Ordering::Release);
        self.wake.notify_one();
    }

    /// From now on nothing is given back one by one, nor by [`Settler::close`]: a quorum queue puts
    /// what is nacked behind other messages (RabbitMQ 3.10: of 80 in a row, 80 out of order), and
    /// returns what a connection leaves unsettled in its place.
    pub(crate) fn return_in_order(&self) {
        self.in_order.store(true, Ordering::Release);
    }

    pub(crate) fn returns_in_order(&self) -> bool {
        self.in_order.load(Ordering::Acquire)
    }

    /// Tells all that is settled, gives the rest back, and ends.
    pub(crate) async fn close(&self) {
        self.lock().closing = true;
        self.wake.notify_one();
        // Fails only when the task's end, which owns the settler, is gone: then it has ended.
        let _ = self.ended.subscribe().wait_for(|ended| *ended).await;
    }

    /// Deliveries handed out and not settled.
    pub(crate) fn open(&self) -> usize {
        self.lock().open
    }

    /// Deliveries settled since the start.
    pub(crate) fn settled(&self) -> u64 {
        let inbound = self.lock();
        inbound.all.saturating_sub(inbound.open as u64)
    }

    /// Why the task ended before its time.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    /// Resolves when the task has ended.
    pub(crate) async fn ended(&self) {
        let _ = self.ended.subscribe().wait_for(|ended| *ended).await;
    }

    fn lock(&self) -> MutexGuard<'_, Inbound> {
        self.inbound.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Settle for Settler {
    fn settle(&self, tag: u64, settlement: Settlement) {
        let kept = settlement == Settlement::Requeue && self.returns_in_order();
        if kept || !self.is_live() {
            return;
        }
        let wake = self.lock().settle(tag, settlement);
        if wake {
            self.wake.notify_one();
        }
    }

    fn is_live(&self) -> bool {
        self.live.load(Ordering::Acquire)
    }
}

async fn run(settler: Arc<Settler>, channel: Channel) {
    if let Err(error) = tell_all(&settler, &channel).await {
        let _ = settler.failure.set(error);
    }
    settler.abandon();
    settler.ended.send_replace(true);
}

async fn tell_all(settler: &Settler, channel: &Channel) -> Result<(), String> {
    let mut ledger = Ledger::default();
    let (mut handed, mut settled) = (Vec::new(), Vec::new());
    let mut tells = Vec::new();
    while settler.is_live() {
        let closing = settler.lock().drain(&mut handed, &mut settled);
        let now = Instant::now();
        handed.drain(..).for_each(|tag| ledger.handed(tag));
        settled.drain(..).for_each(|(tag, settlement)| ledger.settled(tag, settlement, now));
        ledger.due(now, closing, &mut tells);
        // Polled together: one wait for all of them, and in this order to the socket.
        within(try_join_all(tells.drain(..).map(|told| tell(channel, told)))).await?;
        if closing && settler.returns_in_order() {
            return Ok(());
        }
        if closing {
            return within(give_back(channel)).await;
        }
        let next = ledger.next();
        if settler.lock().may_sleep(next.is_some()) {
            tokio::select! {
                () = settler.wake.notified() => {}
                () = sleep_until(next) => {}
            }
        }
    }
    Ok(())
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

async fn within<T>(told: impl Future<Output = lapin::Result<T>>) -> Result<(), String> {
    match tokio::time::timeout(TELL, told).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(format!("cannot settle: {error}")),
        Err(_) => Err(format!("cannot settle: not sent within {TELL:?}")),
    }
}

async fn tell(channel: &Channel, told: Tell) -> lapin::Result<()> {
    match told {
        Tell::AckTo(tag) => channel.basic_ack(tag, BasicAckOptions { multiple: true }).await,
        Tell::Ack(tag) => channel.basic_ack(tag, BasicAckOptions { multiple: false }).await,
        Tell::Requeue(tag) => {
            channel.basic_nack(tag, BasicNackOptions { requeue: true, multiple: false }).await
        }
        Tell::Reject(tag) => channel.basic_reject(tag, BasicRejectOptions { requeue: false }).await,
    }
}

/// Gives everything unsettled back by a nack, which brokers do not count as a failed delivery,
/// as they do a lost connection. Tag 0 stands for all.
async fn give_back(channel: &Channel) -> lapin::Result<()> {
    channel.basic_nack(0, BasicNackOptions { requeue: true, multiple: true }).await
}

#[cfg(test)]
mod schedules;
