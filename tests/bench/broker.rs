//! RabbitMQ to RabbitMQ, beside the bare loop of [`bare`]: rate, and processor time of the
//! forwarder and of the broker. Each round has all contenders, in turns of another order.

use std::fs::{self, File};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use futures_util::future::join_all;
use lapin::options::{
    BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel};
use lockgate_tests::{Deadline, Rabbit, lockgate_binary, plugin_cache};

use crate::bare::{self, PREFETCH};
use crate::measure::{Samples, cpu_of};
use crate::orders::order;

const MESSAGES: usize = 50_000;
const BODY: usize = 1024;
const FROM: &str = "bench.from";
const TO: &str = "bench.to";

const PASS: &str =
    "[[stage]]\nname = \"pass-%\"\nplugin = \"filter\"\nconfig = { when = 'true' }\n";
/// What the guarantees cost: state on disk for every message, against a fourth plugin that passes.
const DEDUPE: &str = "[[stage]]\nname = \"once\"\nplugin = \"dedupe\"\ngrant = [\"kv\"]\n\
                      config = { window = \"1h\" }\n";
const ORDERS: &str = r#"
[[stage]]
name = "paid-only"
plugin = "filter"
config = { when = 'body.status == "paid"' }
[[stage]]
name = "spam"
plugin = "spam-check"
config = { text = "body.note", threshold = 0.9, on_spam = "route:default" }
[[stage]]
name = "totals"
plugin = "transform"
config = { jq = '.total = .price * .quantity' }
[[stage]]
name = "by-region"
plugin = "route"
config = { rules = [{ when = 'body.region == "EU"', to = ["eu"] }], otherwise = ["default"] }
[route.eu]
amqp = { exchange = "", routing_key = "bench.to" }
"#;

struct Contender {
    name: &'static str,
    /// The stages of its pipeline; none for the bare loop.
    stages: Option<String>,
    /// What is asked for: least share of the bare loop's rate, most client time above its.
    goal: Option<(f64, f64)>,
    figures: Vec<Figures>,
}

/// One turn's figures.
struct Figures {
    /// Messages a second.
    rate: f64,
    /// Microseconds of processor time a message, forwarder and broker.
    client: f64,
    broker: f64,
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn run() -> Result<()> {
    let contender = |name, stages, goal| Contender { name, stages, goal, figures: Vec::new() };
    let pass: String = (1..=4).map(|n| PASS.replace('%', &n.to_string())).collect();
    let remember: String = (1..=3).map(|n| PASS.replace('%', &n.to_string())).collect();
    let remember = remember + DEDUPE;
    let mut contenders = [
        contender("bare loop over the client", None, None),
        contender("lockgate, no plugin", Some(String::new()), None),
        contender("lockgate, 4 plugins that pass", Some(pass), Some((0.97, 3.0))),
        contender("lockgate, 3 and dedupe", Some(remember), None),
        contender("lockgate, filter·spam·jq·route", Some(ORDERS.to_owned()), Some((0.9, 20.0))),
    ];
    let rounds = std::env::var("ROUNDS").map_or(Ok(11), |text| text.parse())?;
    let rabbit = Rabbit::start()?;
    let dir = tempfile::tempdir()?;
    for round in 0..rounds {
        let turns = contenders.len();
        let in_turn = (round..round + turns).map(|turn| turn % turns);
        for at in in_turn {
            let Some(contender) = contenders.get_mut(at) else { continue };
            let figures = turn_of(contender, &rabbit, dir.path()).await;
            contender.figures.push(figures.with_context(|| contender.name.to_owned())?);
        }
    }
    let [bare, _, pass, remember, _] = &contenders;
    report(&contenders, &bare.figures, rounds);
    let pairs = remember.figures.iter().zip(&pass.figures);
    let share: Samples = pairs.map(|(one, other)| one.rate / other.rate).collect();
    println!(
        "\nstate for every message: {share:.2} of the rate of 4 plugins that pass; goal ≥ 0.95"
    );
    Ok(())
}

fn report(contenders: &[Contender], bare: &[Figures], rounds: usize) {
    println!(
        "\nRabbitMQ to RabbitMQ: {MESSAGES} persistent messages of {BODY} bytes, {rounds} rounds in \
         turns;\nmedians (least–most); µs are processor time a message, ratios are of one round's\n"
    );
    println!(
        "{:31} {:>22} {:>17} {:>19} {:>18} {:>19} {:>17}",
        "", "messages/s", "of bare", "client µs", "above bare", "broker µs", "both, of bare"
    );
    for Contender { name, goal, figures, .. } in contenders {
        let all = |of: fn(&Figures) -> f64| figures.iter().map(of).collect::<Samples>();
        let paired = |of: fn(&Figures, &Figures) -> f64| {
            figures.iter().zip(bare).map(|(one, bare)| of(one, bare)).collect::<Samples>()
        };
        let rate = paired(|one, bare| one.rate / bare.rate);
        let above = paired(|one, bare| one.client - bare.client);
        let both = paired(|one, bare| (one.client + one.broker) / (bare.client + bare.broker));
        println!(
            "{name:31} {:>22.0} {rate:>17.2} {:>19.1} {above:>18.1} {:>19.1} {both:>17.2}",
            all(|one| one.rate),
            all(|one| one.client),
            all(|one| one.broker),
        );
        if let Some((least, most)) = goal {
            let goals = [format!("≥ {least:.2}"), format!("≤ {most:.1}")];
            println!("{:>31} {:>22} {:>17} {:>19} {:>18}", "goal", "", goals[0], "", goals[1]);
        }
    }
}

async fn turn_of(contender: &Contender, rabbit: &Rabbit, dir: &std::path::Path) -> Result<Figures> {
    let admin = bare::connect(&rabbit.url()).await?;
    let channel = admin.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    fill(&channel).await?;
    let log = File::create(dir.join("log"))?;
    let command = match &contender.stages {
        None => {
            let mut command = Command::new(std::env::current_exe()?);
            command.args(["bare-loop", &rabbit.url(), FROM, TO]);
            command
        }
        Some(stages) => {
            let (host, pipeline) = (dir.join("host.toml"), dir.join("pipeline.toml"));
            let cache = plugin_cache()?;
            let state = dir.join("state");
            if state.exists() {
                fs::remove_dir_all(&state)?;
            }
            let settings =
                format!("version = 1\ncache_dir = {cache:?}\n[state]\ndir = {state:?}\n");
            fs::write(&host, settings)?;
            fs::write(
                &pipeline,
                format!(
                    "version = 1\nname = \"bench\"\n\
                     [source.amqp]\nurl = \"{}\"\nqueue = \"{FROM}\"\nprefetch = {PREFETCH}\n\
                     {stages}\n\
                     [route.default]\namqp = {{ exchange = \"\", routing_key = \"{TO}\" }}\n",
                    rabbit.url()
                ),
            )?;
            let mut command = Command::new(lockgate_binary()?);
            command.arg("run").arg("--config").arg(host).arg(pipeline);
            command
        }
    };
    let process = start(command, log)?;
    let figures = watch(&channel, process, rabbit.pid()?).await;
    admin.close(200, "OK".into()).await?;
    figures.with_context(|| fs::read_to_string(dir.join("log")).unwrap_or_default())
}

/// A forwarder, killed when dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(mut command: Command, log: File) -> Result<Process> {
    let command = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    Ok(Process(command.spawn()?))
}

/// From one message in twenty to the last: what came before is the forwarder's start.
async fn watch(channel: &Channel, mut process: Process, broker: u32) -> Result<Figures> {
    let deadline = Deadline::after(300);
    let mut first = None;
    loop {
        let depth = depth(channel).await?;
        let now = (Instant::now(), cpu_of(process.0.id())?, cpu_of(broker)?, depth);
        let first = match first {
            None if depth >= MESSAGES / 20 => *first.insert(now),
            None => now,
            Some(first) => first,
        };
        ensure!(depth <= MESSAGES, "{depth} came of {MESSAGES}");
        if depth == MESSAGES {
            let count = (depth - first.3) as f64;
            let micros = |time: Duration| time.as_secs_f64() * 1e6 / count;
            return Ok(Figures {
                rate: count / (now.0 - first.0).as_secs_f64(),
                client: micros(now.1 - first.1),
                broker: micros(now.2 - first.2),
            });
        }
        if let Some(status) = process.0.try_wait()? {
            bail!("it ended ({status})");
        }
        ensure!(!deadline.passed(), "{depth} of {MESSAGES} after five minutes");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn depth(channel: &Channel) -> Result<usize> {
    let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let queue = channel.queue_declare(TO.into(), options, FieldTable::default()).await?;
    Ok(queue.message_count() as usize)
}

/// New queues, the first one full.
async fn fill(channel: &Channel) -> Result<()> {
    for queue in [FROM, TO] {
        channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await?;
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(queue.into(), options, FieldTable::default()).await?;
    }
    let mut headers = FieldTable::default();
    headers.insert("tenant".into(), AMQPValue::LongString("north".into()));
    headers.insert("version".into(), AMQPValue::LongInt(3));
    let numbers: Vec<usize> = (0..MESSAGES).collect();
    for block in numbers.chunks(1000) {
        let publishes = block.iter().map(|n| {
            let properties = BasicProperties::default()
                .with_content_type("application/json".into())
                .with_message_id(format!("message-{n}").into())
                .with_delivery_mode(2)
                .with_headers(headers.clone());
            let body = order(*n, BODY);
            async move {
                let options = BasicPublishOptions::default();
                channel.basic_publish("".into(), FROM.into(), options, &body, properties).await
            }
        });
        for published in join_all(publishes).await {
            published?.await?;
        }
    }
    Ok(())
}
