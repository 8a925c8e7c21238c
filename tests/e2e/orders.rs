//! The shipped orders pipeline: each message comes out where an independent calculation says.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use lockgate_tests::{Ledger, Lockgate, Scene, long, tests_dir};

const QUEUES: [&str; 4] = ["orders.eu", "orders.rest", "orders.quarantine", "orders.dead"];
const OUTLETS: [(&str, &str); 4] = [
    ("eu", "orders.eu"),
    ("rest", "orders.rest"),
    ("quarantine", "orders.quarantine"),
    ("dead", "orders.dead"),
];

/// One test, for the pipeline's queues have fixed names.
#[test]
fn ten_thousand_orders_through_one_host_and_through_three() -> Result<()> {
    let scene = Scene::shared("orders")?;
    let pipeline = tests_dir().join("../pipelines/orders.toml");
    let count = long(10_000, 10_000);
    run(&scene, "one", &start(&scene, &pipeline, 1)?, count)?;
    run(&scene, "three", &start(&scene, &pipeline, 3)?, count)
}

fn start(scene: &Scene, pipeline: &Path, count: u32) -> Result<Vec<Lockgate>> {
    let pipeline: PathBuf = pipeline.to_owned();
    (0..count).map(|n| scene.start(&format!("host-{count}-{n}"), &pipeline)).collect()
}

fn run(scene: &Scene, run: &str, hosts: &[Lockgate], count: u64) -> Result<()> {
    scene
        .publish(run, count)
        .exchange("orders", "order.new")
        .with("--kind=orders")
        .with(&format!("--seed={run}"))
        .run()?;
    // How many must come out is the ledger's to say: asked before anything is collected.
    std::fs::write(scene.file(&format!("{run}.came")), "")?;
    let plan = scene.ledger(run, "orders", &OUTLETS)?;
    let filtered = plan.expected("filtered");
    ensure!(
        filtered > 0 && QUEUES.iter().take(3).zip(OUTLETS).all(|(_, (o, _))| plan.expected(o) > 0)
    );
    scene.collect(run, &QUEUES, count - filtered)?;
    check(&scene.ledger(run, "orders", &OUTLETS)?, count)?;
    let worked = hosts.iter().map(|host| host.metric(&["messages_received_total"]));
    let worked = worked.collect::<Result<Vec<_>>>()?;
    ensure!(worked.iter().all(|taken| *taken > 0.0), "a host had nothing to do: {worked:?}");
    ensure!(worked.iter().sum::<f64>() == count as f64, "taken by the hosts: {worked:?}");
    Ok(())
}

fn check(ledger: &Ledger, count: u64) -> Result<()> {
    ensure!(ledger.count("sent") == count);
    ledger.exact()
}
