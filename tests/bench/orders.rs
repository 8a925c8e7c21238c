//! The messages of the benchmarks: JSON orders, paid, with an honest note.

/// What people write to a shop, 160 characters.
pub(crate) const NOTE: &str = "Please leave the parcel with our neighbour Mrs Jansen at number 14 \
    if nobody opens, she is at home until five. The bell is broken, so knock twice. Thank you....";

/// An order of exactly `size` bytes, 480 at least.
pub(crate) fn order(n: usize, size: usize) -> Vec<u8> {
    let region = if n.is_multiple_of(2) { "EU" } else { "US" };
    let head = format!(
        r#"{{"id":"ord-{n:08}","created":"2025-03-04T10:20:30Z","status":"paid","region":"{region}","price":12.5,"quantity":{},"customer":{{"name":"Ada Lovelace","email":"ada@example.org","city":"London"}},"note":"{NOTE}","more":""#,
        n % 7 + 1
    );
    let fill = size.saturating_sub(head.len() + 2);
    format!("{head}{}\"}}", "x".repeat(fill)).into_bytes()
}

/// An order without a note, 300 bytes.
pub(crate) const SMALL: &[u8] = br#"{"id":"ord-48151623","created":"2025-03-04T10:20:30Z","customer":{"name":"Ada Lovelace","email":"ada@example.org","city":"London"},"lines":[{"sku":"A-100","price":12.5,"quantity":2},{"sku":"B-7","price":99,"quantity":1}],"currency":"EUR","price":62,"quantity":2,"region":"EU","status":"paid","x":"a"}"#;
