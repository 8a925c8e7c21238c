//! The types of the contract's WIT package, generated from the files that plugins are built
//! against.

wasmtime::component::bindgen!({
    path: "../../plugin-sdk/wit",
    inline: "
        package lockgate:engine;
        world types {
            import lockgate:plugin/types@0.1.0;
            import lockgate:plugin/log@0.1.0;
            import lockgate:plugin/kv@0.1.0;
        }
    ",
    world: "lockgate:engine/types",
});

pub(crate) use lockgate::plugin::kv;
pub(crate) use lockgate::plugin::log::Level;
pub(crate) use lockgate::plugin::types::*;
