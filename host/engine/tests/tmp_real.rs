use lockgate_engine::*;
use lockgate_message::*;
use serde_json::json;
#[test]
fn real() {
    let engine = Engine::new(EngineConfig { cache_dir: None, compiler: Compiler::InProcess }).unwrap();
    for (path, settings) in [("/tmp/engine-go/go.wasm", json!({})), ("/tmp/target-plug-a/wasm32-unknown-unknown/release/filter.wasm", json!({"when":"body.status == \"paid\""}))] {
        let t = std::time::Instant::now();
        let bytes = std::fs::read(path).unwrap();
        println!("{:?}", inspect(&bytes).map(|i| (i.door, i.imports, i.description.map(|d| d.name))));
        println!("inspect {:?}", t.elapsed());
        let plugin = engine.load(&bytes, Grants::default(), &Limits::default()).unwrap();
        println!("load {:?}", t.elapsed());
        let c = plugin.configure("s", &settings).unwrap();
        println!("{:?} {:?}", c.needs(), c.routes());
        let mut i = c.open().unwrap();
        println!("open {:?}", t.elapsed());
        let ms: Vec<_> = (0..64).map(|n| Message::new(Head::default(), if n % 2 == 0 { r#"{"status":"paid","x":[1,2,3],"note":"hello there"}"# } else { r#"{"status":"open"}"# })).collect();
        let ins: Vec<_> = ms.iter().map(|message| Input { message, redelivered: false, attempt: 1 }).collect();
        let mut v = vec![];
        let t = std::time::Instant::now();
        for _ in 0..5000 { v.clear(); i.process(&ins, &mut v); }
        println!("{:?} a message; {:?} {:?}", t.elapsed() / 64 / 5000, &v[..3], c.stats());
    }
}
