//! Views of nested values and their builders.

use super::*;

#[test]
fn nested_values_are_built_and_read() {
    let mut array = ArrayBuf::new();
    assert!(array.push(Value::from("a")) && array.push(Value::from(2_i64)));
    let mut table = TableBuf::new();
    assert!(table.push("list", array.as_value()));
    assert!(table.push("twice", Value::Bool(true)) && table.push("twice", Value::Void));
    assert!(!table.push(&"n".repeat(256), Value::Void));

    let view = table.as_table();
    assert_eq!(view.get("twice"), Some(Value::Bool(true)));
    assert_eq!(view.get("nope"), None);
    assert_eq!(view.iter().count(), 3);
    let Some(Value::Array(list)) = view.get("list") else { panic!() };
    assert!(list.iter().eq([Value::Str(b"a"), Value::I64(2)]));
    assert_eq!(
        format!("{view:?}"),
        r#"{"list": Array([Str([97]), I64(2)]), "twice": Bool(true), "twice": Void}"#
    );
}

#[test]
fn conversions_take_what_fits() {
    assert_eq!(Value::Str(b"a").as_str(), Some("a"));
    assert_eq!(Value::Str(b"\xFF").as_str(), None);
    assert_eq!(Value::Bytes(b"a").as_str(), None);
    assert_eq!(Value::U32(u32::MAX).as_i64(), Some(i64::from(u32::MAX)));
    assert_eq!(Value::Timestamp(u64::MAX).as_i64(), None);
    assert_eq!(Value::F64(1.0).as_i64(), None);
}
