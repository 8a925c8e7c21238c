//! The daemon with the orders pipeline: from its start to its consumer on the queue, the first time
//! on a machine and later, and its resident memory when nothing happens.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lockgate_tests::{Deadline, Lockgate, Rabbit, tests_dir};

use crate::bare;
use crate::measure::{Samples, cpu_of};

const STARTS: usize = 11;
const QUEUE: &str = "orders.in";

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn run() -> Result<()> {
    let rabbit = Rabbit::start()?;
    let dir = tempfile::tempdir()?;
    let pipeline = tests_dir().join("../pipelines/orders.toml");
    let url = rabbit.url();
    // Declares the queue.
    Lockgate::start(dir.path(), "first", &pipeline, &url)?.wait_ready()?;
    let connection = bare::connect(&url).await?;
    let channel = connection.create_channel().await?;
    let consumers = async || -> Result<u32> {
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let queue = channel.queue_declare(QUEUE.into(), options, FieldTable::default()).await?;
        Ok(queue.consumer_count())
    };
    let (mut first, mut wall, mut cpu, mut memory) =
        (Samples::default(), Samples::default(), Samples::default(), Samples::default());
    for start in 0..2 * STARTS {
        let deadline = Deadline::after(60);
        while consumers().await? > 0 {
            ensure!(!deadline.passed(), "the consumer of a killed daemon stays");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // Every other start finds no compiled plugin that an earlier one left.
        let cache =
            dir.path().join(if start % 2 == 0 { format!("cache-{start}") } else { "cache".into() });
        let started = Instant::now();
        let mut host = Lockgate::start_caching(dir.path(), "host", &pipeline, &url, &cache)?;
        while consumers().await? == 0 {
            host.alive()?;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let took = started.elapsed().as_secs_f64() * 1e3;
        if start % 2 == 0 {
            first.add(took);
            continue;
        }
        wall.add(took);
        cpu.add(cpu_of(host.pid())?.as_secs_f64() * 1e3);
        host.wait_ready()?;
        memory.add(host.memory("VmRSS")? as f64 / 1048576.0);
    }
    println!("\nThe daemon with the orders pipeline, {STARTS} starts each: median (least–most)");
    println!(
        "first, to consuming {first:.0} ms, goal ≤ 300, with an empty cache of compiled plugins"
    );
    println!("later, to consuming {wall:.0} ms, goal ≤ 300; processor time {cpu:.0} ms");
    println!("resident, idle      {memory:.1} MiB, goal ≤ 80");
    Ok(())
}
