//! A plugin is given any bytes as a batch: the SDK refuses them, or gives messages whose every part
//! can be read. Nothing is read past the buffer and no nesting exhausts the stack.

use lockgate_plugin::{Batch, Property, Value};

pub fn run(data: &[u8]) {
    let Ok(batch) = Batch::read(data) else { return };
    let mut seen = 0;
    for message in batch.messages() {
        seen += 1;
        let Ok(message) = message else { continue };
        assert!(message.index() < batch.count());
        assert!(message.body().len() <= message.body_len() as usize);
        if !message.body().is_empty() {
            let left_out = message.body().len() < message.body_len() as usize;
            assert_eq!(message.body_is_cut(), left_out);
        }
        let (mut texts, mut headers) = (0, 0);
        for property in (0..=u8::MAX).filter_map(Property::from_number) {
            texts += message.property(property).map_or(0, str::len);
        }
        for (name, value) in message.headers() {
            headers += name.len() + size(value);
            assert!(message.header(name).is_some());
        }
        assert!(texts + headers + message.body().len() <= data.len());
    }
    assert_eq!(seen, batch.count());
}

/// Bytes of text in a value.
fn size(value: Value<'_>) -> usize {
    match value {
        Value::Str(bytes) | Value::Bytes(bytes) => bytes.len(),
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Table(table) => table.iter().map(|(name, value)| name.len() + size(value)).sum(),
        _ => 0,
    }
}
