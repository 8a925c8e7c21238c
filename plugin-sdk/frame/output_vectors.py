"""The output vectors: every verdict and change, and what a host must not believe."""

from batch_vectors import EVERY_VALUE, empty_nest, nested
from frame import (
    PROPERTIES, NUMERIC, VERDICTS, bytes32, decode_output, encode_change, encode_output,
    encode_raw_output, encode_raw_record, encode_record, encode_value, pack, str8,
)

REASONS = ["spam", "no_tenant"]
PASS = {"verdict": "pass"}
LONG = "ü" * 127 + "x"


def vectors():
    return [*canonical(), *accepted(), *bad_outputs(), *bad_records()]


def encoded(name, about, *verdicts, reasons=REASONS):
    data = encode_output(verdicts, reasons)
    assert decode_output(data, len(verdicts), reasons) == list(verdicts), name
    return {"name": name, "about": about, "count": len(verdicts), "reasons": reasons,
            "bytes": data.hex(), "expect": list(verdicts), "canonical": True}


def modify(*changes):
    return {"verdict": "modify", "delta": list(changes)}


def canonical():
    change = ["header", "x-a", ["I", 1]]
    every_property = [
        ["property", name, 255 if NUMERIC.get(name) == "B" else "18446744073709551615"
         if name in NUMERIC else f"the {name}"]
        for name in PROPERTIES.values()
    ]
    child = {"route": None, "delta": []}
    deltas = [
        ("empty", "no change", []),
        ("routing-key", "a new routing key", [["routing_key", "a.b"]]),
        ("routing-key-empty", "an empty routing key", [["routing_key", ""]]),
        ("every-property", "set each property", every_property),
        ("clear-every-property", "clear each property",
         [["clear_property", name] for name in PROPERTIES.values()]),
        ("every-value", "set a header of each type",
         [["header", name, value] for name, value in EVERY_VALUE]),
        ("nested-32", "a header as deep as it may be", [["header", "n", nested(32)]]),
        ("remove-header", "remove a header", [["remove_header", "x-a"]]),
        ("clear-headers", "remove all, then set one", [["clear_headers"], change]),
        ("body", "a new body", [["body", "00ff"]]),
        ("body-empty", "an empty body", [["body", ""]]),
        ("body-large", "a body whose length needs more than 16 bits", [["body", "61" * 65537]]),
        ("order", "changes keep their order, repeated ones too",
         [change, ["remove_header", "x-a"], change, ["body", "61"], ["body", "62"]]),
        ("longest", "texts of 255 bytes",
         [["routing_key", LONG], ["property", "type", LONG], ["header", LONG, ["V"]]]),
    ]
    return [
        encoded("no-messages", "the answer to an empty batch"),
        encoded("pass", "one pass: 8 bytes", PASS),
        encoded("drop", "without and with reason: 8 bytes each", {"verdict": "drop", "reason": None},
                {"verdict": "drop", "reason": "spam"}, {"verdict": "drop", "reason": "no_tenant"}),
        encoded("drop-64th", "the last reason there can be", {"verdict": "drop", "reason": "r63"},
                reasons=[f"r{number}" for number in range(64)]),
        encoded("pass-64", "a whole batch of passes", *[PASS] * 64),
        *[encoded(f"modify-{name}", about, modify(*changes)) for name, about, changes in deltas],
        encoded("route", "to one, to two with changes", {"verdict": "route", "routes": ["eu"], "delta": []},
                {"verdict": "route", "routes": ["eu", "rest"], "delta": [change]}),
        encoded("route-255", "to as many as there can be",
                {"verdict": "route", "routes": [f"r{number}" for number in range(255)], "delta": []}),
        encoded("emit", "none, one, and three", {"verdict": "emit", "children": []},
                {"verdict": "emit", "children": [child]},
                {"verdict": "emit", "children": [
                    {"route": "eu", "delta": [change]}, child,
                    {"route": LONG, "delta": [["body", "61"]]}]}),
        encoded("reject", "with and without reason and text",
                {"verdict": "reject", "reason": None, "text": ""},
                {"verdict": "reject", "reason": "spam", "text": ""},
                {"verdict": "reject", "reason": None, "text": "zu groß"},
                {"verdict": "reject", "reason": "spam", "text": "x" * 1024}),
        encoded("retry", "own back-off, a delay, a text",
                {"verdict": "retry", "after_ms": 0, "text": ""},
                {"verdict": "retry", "after_ms": 4294967295, "text": ""},
                {"verdict": "retry", "after_ms": 250, "text": "later"}),
        encoded("fail", "each kind, with and without text",
                {"verdict": "fail", "kind": "bad_message", "text": ""},
                {"verdict": "fail", "kind": "dependency", "text": "no answer"},
                {"verdict": "fail", "kind": "internal", "text": "a b"}),
        encoded("mixed", "one of each in a batch", PASS, modify(change),
                {"verdict": "route", "routes": ["eu"], "delta": [change]},
                {"verdict": "emit", "children": [child]}, {"verdict": "drop", "reason": "spam"},
                {"verdict": "reject", "reason": "spam", "text": "t"},
                {"verdict": "retry", "after_ms": 1, "text": "t"},
                {"verdict": "fail", "kind": "internal", "text": "t"}),
    ]


def decoded(name, about, data, count, faults):
    """An output with whatever the codec finds; `faults` says at which indexes faults must be."""
    expect = decode_output(data, count, REASONS)
    found = [index for index, verdict in enumerate(expect) if verdict["verdict"] == "fault"]
    assert found == list(faults), (name, found)
    return {"name": name, "about": about, "count": count, "reasons": REASONS, "bytes": data.hex(),
            "expect": expect, "canonical": False}


def accepted():
    drop = {"verdict": "drop", "reason": "spam"}
    reserved = bytearray(encode_output([PASS], REASONS))
    reserved[6] = reserved[7] = 0xFF
    texts = [
        ("text-cut", "a text of 1,025 bytes is cut", "x" * 1025),
        ("text-cut-character", "a character across the limit goes as a whole", "x" * 1023 + "ü!"),
        ("text-huge", "a text far beyond the limit", "y" * 5000),
    ]
    return [
        decoded("any-order", "records in another order",
                encode_output([PASS, drop, modify()], REASONS, [2, 0, 1]), 3, []),
        decoded("reserved-flags", "reserved flags of the head are ignored", bytes(reserved), 1, []),
        *[decoded(f"{VERDICTS[number]}-empty-payload", "a payload of no bytes is as good as none",
                  encode_raw_output([encode_raw_record(0, number, 0, b"")]), 1, [])
          for number in (0, 4, 5)],
        decoded("modify-no-payload", "no payload is as good as one of no bytes",
                encode_raw_output([encode_raw_record(0, 1)]), 1, []),
        *[decoded(name, "a text that is not UTF-8 is repaired, not refused",
                  encode_raw_output([encode_raw_record(0, number, 0, payload)]), 1, [])
          for name, number, payload in (
              ("reject-not-utf8", 5, b"ab\xff"), ("retry-not-utf8", 6, pack("I", 1) + b"a\xe2\x82"),
              ("fail-not-utf8", 7, b"\x01\x80b"))],
        *[decoded(name, about, encode_raw_output([encode_raw_record(0, 5, 0, text.encode())]), 1, [])
          for name, about, text in texts],
        decoded("text-cut-retry", "likewise for retry",
                encode_raw_output([encode_raw_record(0, 6, 0, pack("I", 1) + b"x" * 1025)]), 1, []),
        decoded("text-cut-fail", "likewise for fail",
                encode_raw_output([encode_raw_record(0, 7, 0, b"\x04" + b"x" * 1025)]), 1, []),
    ]


def patched(data, at, new):
    return data[:at] + new + data[at + len(new):]


def bad_outputs():
    two = encode_output([PASS, PASS], REASONS)
    record = encode_record
    modified = encode_output([PASS, modify(["body", "61"])], REASONS)
    both = [0, 1]
    cases = [
        ("no-bytes", "nothing at all", b""),
        ("head-cut", "one byte less than the head", encode_output([], REASONS)[:15]),
        ("batch-magic", "the magic of a batch", patched(two, 0, b"LGB1")),
        ("version-0", "version 0", patched(two, 4, pack("H", 0))),
        ("version-2", "version 2", patched(two, 4, pack("H", 2))),
        ("length-short", "a length below the output's", patched(two, 12, pack("I", 24))),
        ("length-long", "a length above the output's", patched(two, 12, pack("I", 40))),
        ("length-max", "the largest length", patched(two, 12, pack("I", 0xFFFFFFFF))),
        ("count-high", "a count above the records", patched(two, 8, pack("I", 3))),
        ("count-max", "the largest count", patched(two, 8, pack("I", 0xFFFFFFFF))),
        ("count-low", "a count below the records: bytes after the last", patched(two, 8, pack("I", 1))),
        ("count-0", "a count of 0 with records", patched(two, 8, pack("I", 0))),
        ("tail", "a byte after the last record",
         encode_raw_output([record(0, PASS, []), record(1, PASS, [])], tail=b"\0")),
        ("index-is-count", "an index not below the count",
         encode_raw_output([record(0, PASS, []), record(1, PASS, []), record(2, PASS, [])])),
        ("index-max", "the largest index",
         encode_raw_output([record(0, PASS, []), record(0xFFFFFFFF, PASS, [])])),
        ("flag-1", "an unknown record flag",
         encode_raw_output([record(0, PASS, []), encode_raw_record(1, 0, flags=2)])),
        ("flag-7", "an unknown record flag beside the known one",
         encode_raw_output([record(0, PASS, []), encode_raw_record(1, 1, 0, b"", flags=0x81)])),
        ("payload-beyond", "a payload longer than the output",
         patched(modified, 32, pack("I", 1000))),
        ("payload-max", "a payload length that wraps round", patched(modified, 32, pack("I", 0xFFFFFFFF))),
        ("payload-no-length", "a payload flag and no room for the length",
         encode_raw_output([record(0, PASS, []), pack("IBBH", 1, 1, 1, 0) + b"\0\0"])),
    ]
    return [decoded(f"output-{name}", about, data, 2, both) for name, about, data in cases]


def bad_records():
    pass_record = encode_record(0, PASS, REASONS)
    late = encode_record(2, PASS, REASONS)

    def one(name, about, *own):
        """Records of message 1 between good ones of messages 0 and 2."""
        return decoded(name, about, encode_raw_output([pass_record, *own, late]), 3, [1])

    def raw(name, about, number, payload=None, reason=0):
        return one(name, about, encode_raw_record(1, number, reason, payload))

    drop = encode_record(1, {"verdict": "drop", "reason": None}, REASONS)
    again = encode_record(1, PASS, REASONS)
    no_payload = [
        raw(f"record-{VERDICTS[number]}-no-payload", "no payload where one belongs", number)
        for number in (2, 3, 6, 7)
    ]
    needless = [
        raw(f"record-{VERDICTS[number]}-payload", "a payload where none belongs", number, payload)
        for number, payload in ((0, b"x"), (4, b"x"))
    ]
    stray = [
        raw(f"record-{VERDICTS[number]}-reason", "a reason where none belongs", number, payload, 1)
        for number, payload in (
            (0, None), (1, b""), (2, b"\x01" + str8("eu")), (3, pack("I", 0)), (6, pack("I", 1)), (7, b"\x01"))
    ]
    return [
        one("record-missing", "no record for message 1"),
        one("record-twice", "two records for one message", again, drop),
        one("record-twice-same", "the same record twice", again, again),
        one("record-thrice", "three records for one message", again, drop, again),
        decoded("record-all-missing", "no record at all", encode_raw_output([]), 2, [0, 1]),
        raw("record-await", "await is reserved", 8, b""),
        raw("record-verdict-9", "an unknown verdict", 9),
        raw("record-verdict-255", "an unknown verdict with a payload", 255, b"abc"),
        raw("record-reason-unknown", "a reason that was not described", 4, None, len(REASONS) + 1),
        raw("record-reason-max", "the largest reason", 5, None, 0xFFFF),
        *no_payload, *needless, *stray,
        raw("route-none", "to no route", 2, b"\x00"),
        raw("route-empty-payload", "no count", 2, b""),
        raw("route-count", "a count above the names", 2, b"\x02" + str8("eu")),
        raw("route-not-utf8", "a name that is not UTF-8", 2, b"\x01\x01\xff"),
        raw("emit-count", "a count above the children", 3, pack("I", 2) + str8("") + bytes32(b"")),
        raw("emit-count-max", "the largest count", 3, pack("I", 0xFFFFFFFF)),
        raw("emit-left-over", "bytes after the last child", 3, pack("I", 0) + b"x"),
        raw("emit-delta-cut", "a delta longer than the payload", 3, pack("I", 1) + str8("") + pack("I", 9)),
        raw("emit-delta-bad", "a child's delta that cannot be read", 3,
            pack("I", 1) + str8("") + bytes32(b"\x09")),
        raw("retry-short", "no room for the delay", 6, b"\0\0\0"),
        raw("fail-empty-payload", "no kind", 7, b""),
        *[raw(f"fail-kind-{kind}", "an unknown kind", 7, bytes([kind]) + b"x") for kind in (0, 2, 5, 255)],
        *bad_deltas(raw),
    ]


def bad_deltas(raw):
    good = encode_change(["routing_key", "k"])
    header = b"\x04" + str8("n")
    cases = [
        ("operation-0", "operation 0", b"\x00"),
        ("operation-8", "an unknown operation", b"\x08"),
        ("operation-late", "an unknown operation after a good change", good + b"\xff"),
        ("routing-key-cut", "a routing key beyond the delta", b"\x01\x05ab"),
        ("routing-key-not-utf8", "a routing key that is not UTF-8", b"\x01\x01\xff"),
        ("property-0", "set property 0", b"\x02\x00" + str8("a")),
        ("property-14", "set property 14", b"\x02\x0e" + str8("a")),
        ("property-cut", "set a property without a value", b"\x02\x01"),
        ("property-not-utf8", "a property that is not UTF-8", b"\x02\x01\x01\xff"),
        ("priority-cut", "a priority without its octet", b"\x02\x04"),
        ("timestamp-cut", "a timestamp of 7 bytes", b"\x02\x09" + bytes(7)),
        ("clear-0", "clear property 0", b"\x03\x00"),
        ("clear-14", "clear property 14", b"\x03\x0e"),
        ("clear-cut", "clear without a number", b"\x03"),
        ("header-no-value", "a header without a value", header),
        ("header-tag", "a header of an unknown tag", header + b"q"),
        ("header-boolean", "a boolean of 2", header + b"t\x02"),
        ("header-cut", "a string beyond the delta", header + b"S" + pack("I", 3) + b"ab"),
        ("header-length-max", "a string length that wraps round", header + b"S\xff\xff\xff\xff"),
        ("header-name-not-utf8", "a name that is not UTF-8", b"\x04\x01\xffV"),
        ("header-inner-name", "a nested name that is not UTF-8", header + b"F" + bytes32(b"\x01\xffV")),
        ("header-nested-33", "one level too deep", header + encode_value(nested(33))),
        ("header-nested-1000", "a thousand levels", header + empty_nest(1000)),
        ("remove-header-cut", "a name beyond the delta", b"\x05\x02n"),
        ("body-cut", "a body beyond the delta", b"\x06" + pack("I", 2) + b"a"),
        ("body-length-max", "a body length that wraps round", b"\x06\xff\xff\xff\xff"),
    ]
    return [raw(f"delta-{name}", about, 1, data) for name, about, data in cases]
