//! Stands in for the daemon's `app`: what the admin listener shows, without an engine.

use serde_json::{Value, json};

pub(crate) struct App {
    pub(crate) entries: Vec<Entry>,
    pub(crate) ready: bool,
}

pub(crate) struct Entry {
    pub(crate) name: String,
}

impl Entry {
    pub(crate) fn describe(&self) -> Value {
        json!({ "name": self.name })
    }
}

impl App {
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(crate) fn waiting(&self) -> Vec<String> {
        if self.ready { Vec::new() } else { vec!["orders: connecting".to_owned()] }
    }

    pub(crate) fn describe_plugins(&self) -> Vec<Value> {
        vec![json!({ "name": "filter" })]
    }
}
