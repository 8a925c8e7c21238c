//! A guest answers a batch with any bytes: each message has one verdict, a fault or none, the whole
//! is refused, and every limit holds. What can be read is read the same way again.

use lockgate_message::Reason;

use crate::bytes_to_verdicts::verdicts;

pub fn run(data: &[u8]) {
    // Messages of the batch and reasons that the plugin describes.
    let Some((&[messages, reasons], output)) = data.split_first_chunk::<2>() else { return };
    let reasons: Vec<Reason> = (0..reasons % 8).map(|n| format!("reason-{n}").into()).collect();
    let count = usize::from(messages % 65);
    let Some(first) = verdicts(output, count, &reasons, 16) else { return };
    let again = verdicts(output, count, &reasons, 16);
    assert_eq!(format!("{:?}", Some(first)), format!("{again:?}"));
}
