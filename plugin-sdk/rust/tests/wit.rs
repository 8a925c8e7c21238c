//! The WIT package of the contract: it parses, and everything in it is documented.

use std::path::Path;

use wit_parser::{Docs, Resolve, TypeDefKind, WorldItem};

#[track_caller]
fn documented(docs: &Docs, what: &str) {
    assert!(docs.contents.is_some(), "{what} has no doc comment");
}

fn load() -> Result<Resolve, Box<dyn std::error::Error + Send + Sync>> {
    let mut resolve = Resolve::default();
    resolve.push_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit"))?;
    Ok(resolve)
}

#[test]
fn the_package_has_its_name_and_version() {
    let resolve = load().unwrap();
    let names: Vec<_> = resolve.package_names.keys().map(ToString::to_string).collect();
    assert_eq!(names, ["lockgate:plugin@0.1.0"]);
}

#[test]
fn the_worlds_have_their_doors() {
    let resolve = load().unwrap();
    for (name, imports, exports) in [
        ("base", &["log", "metrics"][..], &["describe", "init"][..]),
        ("packed-plugin", &["log", "metrics"], &["describe", "handle-batch", "init"]),
        ("typed-plugin", &["log", "metrics", "types"], &["describe", "handle", "init"]),
    ] {
        let (_, world) = resolve.worlds.iter().find(|(_, world)| world.name == name).unwrap();
        let mut imported: Vec<_> = world
            .imports
            .values()
            .filter_map(|item| match item {
                WorldItem::Interface { id, .. } => resolve.interfaces[*id].name.as_deref(),
                _ => None,
            })
            .collect();
        imported.sort_unstable();
        assert_eq!(imported, imports, "{name}");
        let mut exported: Vec<_> =
            world.exports.keys().map(|key| resolve.name_world_key(key)).collect();
        exported.sort_unstable();
        assert_eq!(exported, exports, "{name}");
        documented(&world.docs, name);
        for item in world.exports.values() {
            let WorldItem::Function(function) = item else { panic!("{name}") };
            documented(&function.docs, &function.name);
        }
    }
}

#[test]
fn interfaces_are_documented_and_have_no_resources() {
    let resolve = load().unwrap();
    let mut names: Vec<_> =
        resolve.interfaces.iter().map(|(_, i)| i.name.as_deref().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["clock", "kv", "log", "metrics", "random", "types"]);
    for (_, interface) in resolve.interfaces.iter() {
        documented(&interface.docs, interface.name.as_deref().unwrap());
        for function in interface.functions.values() {
            documented(&function.docs, &function.name);
        }
        for (name, id) in &interface.types {
            let definition = &resolve.types[*id];
            documented(&definition.docs, name);
            match &definition.kind {
                TypeDefKind::Record(record) => {
                    record.fields.iter().for_each(|field| documented(&field.docs, &field.name));
                }
                TypeDefKind::Variant(variant) => {
                    variant.cases.iter().for_each(|case| documented(&case.docs, &case.name));
                }
                TypeDefKind::Enum(list) => {
                    list.cases.iter().for_each(|case| documented(&case.docs, &case.name));
                }
                kind => panic!("{name} is a {}", kind.as_str()),
            }
        }
    }
}
