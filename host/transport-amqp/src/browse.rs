//! Browser: gives out what stands in a queue, each message once, and keeps all of it until it is
//! settled.
//!
//! It takes page after page, each with a channel and a consumer of its own that has the page for its
//! prefetch and is cancelled before the page is given out. So a consumer never gets more than was
//! asked for, acks or not, memory is bounded by a page, and what was given out stays with its
//! channel: the broker does not send it again before it is given back. One channel for all would
//! make every ack slow, for the broker looks for it among all that the channel holds.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use lapin::options::{
    BasicCancelOptions, BasicConsumeOptions, BasicQosOptions, QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{Channel, Consumer};
use lockgate_message::Delivery;
use lockgate_transport::{ConnectError, SourceError};

use crate::connection::{Link, ok};
use crate::guard::{Budget, Inbox};
use crate::settings::Endpoint;
use crate::settle::Settler;
use crate::source::hand_out;
use crate::topology::{Topology, short};

/// Messages of one page at most. A broker takes back what is given back consumer by consumer, and
/// a classic queue sorts each in among all the others, so many small pages are slow to return.
const PAGE_MAX: u16 = 4096;

/// And of the first one: nobody knows yet how large they are.
const PAGE_FIRST: u16 = 16;

/// Pages above this many bytes of bodies are followed by smaller ones.
const PAGE_BYTES: usize = 8 << 20;

/// Time for the broker to answer one request: a queue that has just taken back a great many
/// messages answers late.
const ANSWER: Duration = Duration::from_secs(60);

/// Longest wait for the broker to have back what was given back.
const BACK: Duration = Duration::from_secs(60);

/// Looks without a change after which it is not waited for any longer: somebody else takes them.
const STILL_MAX: u32 = 6;

/// Channels for pages at most, fewer where the broker allows no more than that; pages after these
/// share the last one.
const CHANNELS_MAX: usize = 1000;

/// Without a message for so long, the broker is asked whether there are more.
const QUIET: Duration = Duration::from_millis(500);

/// Quiet times with messages ready before it is an error: somebody else has the queue.
const QUIET_MAX: u32 = 20;

/// A queue that is being looked at. Dropping it gives back all that is not settled, as
/// [`Browser::close`] does in better order.
#[derive(Debug)]
pub struct Browser {
    link: Link,
    /// For questions.
    channel: Channel,
    inbox: Arc<Inbox>,
    pages: Vec<Page>,
    queue: String,
    ready: u64,
    left: u64,
    page: u16,
}

/// Where the messages of one page are settled.
#[derive(Debug)]
struct Page {
    channel: Channel,
    settler: Arc<Settler>,
}

impl Browser {
    /// Connects to a queue, which must be there.
    ///
    /// # Errors
    /// As connecting a source.
    pub async fn open(endpoint: &Endpoint, queue: &str) -> Result<Self, ConnectError> {
        // On a connection of its own: a channel that the broker closes leaves fewer for pages.
        let asking = Link::open(endpoint, "check", None).await?;
        Topology { endpoint, link: &asking }.no_stream(queue).await?;
        asking.close(ANSWER).await;
        let inbox = Arc::new(Inbox::new(PAGE_MAX, Arc::new(Budget::new(usize::MAX))));
        let purpose = format!("browser {queue}");
        let link = Link::open(endpoint, &purpose, Some(inbox.clone())).await?;
        let topology = Topology { endpoint, link: &link };
        let refused = |error| topology.refused("queue", queue, &error, true);
        let name = short(queue)?;
        let create = link.connection.create_channel();
        let channel = link.answer(ANSWER, create).await.map_err(refused)?;
        let options = QueueDeclareOptions { passive: true, ..Default::default() };
        let declare = channel.queue_declare(name, options, FieldTable::default());
        let found = link.answer(ANSWER, declare).await;
        let ready = found.map_err(refused)?.message_count().into();
        let (queue, page, pages) = (queue.to_owned(), PAGE_FIRST, Vec::new());
        Ok(Self { link, channel, inbox, pages, queue, ready, left: ready, page })
    }

    /// Messages that stood in the queue when it was opened, free for anybody to take.
    pub fn ready(&self) -> u64 {
        self.ready
    }

    /// The next messages, at most `max`. None when as many have been given out as stood in the
    /// queue at the start, or when it holds no more: what came in meanwhile is not looked at, so
    /// that whoever puts messages back into the queue comes to an end.
    ///
    /// # Errors
    /// [`SourceError::Lost`]: the connection is gone, and everything unsettled is in the queue.
    pub async fn next(&mut self, max: usize) -> Result<Vec<Delivery>, SourceError> {
        let max = u16::try_from(max).unwrap_or(u16::MAX);
        let want = self.page.min(max).min(u16::try_from(self.left).unwrap_or(u16::MAX));
        let mut page = Vec::with_capacity(want.into());
        if want == 0 {
            return Ok(page);
        }
        if self.pages.len() < self.channels_max() {
            let channel = self.answer(self.link.connection.create_channel()).await;
            let channel = channel.map_err(SourceError::Lost)?;
            self.pages.push(Page { settler: Settler::start(channel.clone()), channel });
        }
        if let Some(at) = self.pages.last() {
            self.take_page(at, want, &mut page).await.map_err(SourceError::Lost)?;
        }
        self.left -= page.len() as u64;
        if page.len() < want.into() {
            self.left = 0;
        }
        let bytes: usize = page.iter().map(|delivery| delivery.message.body().len()).sum();
        let next = if bytes > PAGE_BYTES { self.page / 2 } else { self.page.saturating_mul(2) };
        self.page = next.clamp(1, PAGE_MAX);
        Ok(page)
    }

    /// One is for questions, and 0 means no limit (AMQP 0-9-1, connection.tune). At least one, of
    /// which the broker may say why there is none.
    fn channels_max(&self) -> usize {
        match self.link.connection.configuration().channel_max() {
            0 => CHANNELS_MAX,
            max => CHANNELS_MAX.min(usize::from(max).saturating_sub(1)).max(1),
        }
    }

    /// Fills `page` with `want` messages, or with fewer where there are no more.
    async fn take_page(
        &self,
        at: &Page,
        want: u16,
        page: &mut Vec<Delivery>,
    ) -> Result<(), String> {
        let queue = || short(&self.queue).map_err(|error| error.to_string());
        self.answer(at.channel.basic_qos(want, BasicQosOptions::default())).await?;
        let options = BasicConsumeOptions::default();
        let tag = short("").map_err(|error| error.to_string())?;
        let consume = at.channel.basic_consume(queue()?, tag, options, FieldTable::default());
        let mut consumer = self.answer(consume).await?;
        let filled = self.fill(at, want, page, &mut consumer).await;
        // After a failure too, or the broker would send again what is given back.
        let options = BasicCancelOptions::default();
        let cancelled = self.answer(at.channel.basic_cancel(consumer.tag(), options)).await;
        filled.and(cancelled)?;
        // What came between the last look and the cancel.
        hand_out(&self.inbox, &at.settler, want.into(), page);
        Ok(())
    }

    async fn fill(
        &self,
        at: &Page,
        want: u16,
        page: &mut Vec<Delivery>,
        consumer: &mut Consumer,
    ) -> Result<(), String> {
        let mut quiet = 0;
        while page.len() < want.into() && !self.is_dry(quiet, page.len()).await? {
            if hand_out(&self.inbox, &at.settler, want.into(), page) > 0 {
                quiet = 0;
                continue;
            }
            tokio::select! {
                () = self.inbox.arrived() => {}
                () = at.settler.ended() => {
                    return Err(at.settler.failure().unwrap_or("connection gone").to_owned());
                }
                item = consumer.next() => return Err(match item {
                    Some(Err(error)) => self.link.explain(&error),
                    _ => "the broker cancelled the consumer; is the queue gone?".to_owned(),
                }),
                () = tokio::time::sleep(QUIET) => quiet += 1,
            }
        }
        Ok(())
    }

    /// Whether the queue gives no more, `quiet` looks in a row having found nothing new.
    async fn is_dry(&self, quiet: u32, came: usize) -> Result<bool, String> {
        if quiet == 0 {
            return Ok(false);
        }
        let options = QueueDeclareOptions { passive: true, ..Default::default() };
        let name = short(&self.queue).map_err(|error| error.to_string())?;
        let asked = self.channel.queue_declare(name, options, FieldTable::default());
        let ready = self.answer(asked).await?.message_count();
        // Twice: the first answer may have overtaken deliveries on their way.
        if ready == 0 {
            return Ok(quiet > 1);
        }
        if quiet > QUIET_MAX {
            return Err(format!(
                "{ready} messages are ready in {}, but the broker sends none after {came} of a \
                 page; is another consumer the only active one, or is it a stream?",
                self.queue
            ));
        }
        Ok(false)
    }

    async fn answer<T>(
        &self,
        request: impl Future<Output = lapin::Result<T>>,
    ) -> Result<T, String> {
        self.link.answer(ANSWER, request).await.map_err(|error| self.link.explain(&error))
    }

    /// Tells the broker all settlements, gives everything else back and closes, spending at most
    /// `deadline`. The order stays.
    ///
    /// # Errors
    /// Why it is not known that the settlements reached the broker. What they did not reach is in
    /// the queue.
    pub async fn close(self, deadline: Duration) -> Result<(), String> {
        let open = self.pages.iter().map(|page| page.settler.open()).sum();
        let goodbye = async {
            for Page { channel, settler } in &self.pages {
                settler.close().await;
                // Its answer says that the queue has the page back before the next one.
                let _ = channel.close(200, ok()).await;
            }
            let _ = tokio::time::timeout(BACK, self.wait_for_return(open)).await;
            self.link.close(deadline).await;
        };
        if tokio::time::timeout(deadline, goodbye).await.is_err() {
            return Err(format!("the broker did not answer within {deadline:?}"));
        }
        match self.pages.iter().find_map(|page| page.settler.failure()) {
            Some(failure) => Err(failure.to_owned()),
            None => Ok(()),
        }
    }
}

impl Browser {
    /// Waits until `open` messages are ready again: a large queue sorts them in for a while, and
    /// who looked at it meanwhile would see only some.
    async fn wait_for_return(&self, open: usize) -> Result<(), String> {
        let (mut last, mut still) = (0, 0);
        while still < STILL_MAX {
            let options = QueueDeclareOptions { passive: true, ..Default::default() };
            let name = short(&self.queue).map_err(|error| error.to_string())?;
            let asked = self.channel.queue_declare(name, options, FieldTable::default());
            let ready = self.answer(asked).await?.message_count();
            if ready as usize >= open {
                break;
            }
            still = if ready == last { still + 1 } else { 0 };
            last = ready;
            tokio::time::sleep(QUIET).await;
        }
        Ok(())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.pages.iter().for_each(|page| page.settler.abandon());
    }
}
