"""The batch vectors: what a host sends, and what nobody should."""

from frame import (
    BATCH_MAGIC, Refused, bytes32, decode_batch, encode_batch, encode_frame, encode_raw_frame,
    encode_value, pack, project, str8,
)

RECEIVED = "1700000000123456"
ALL = {"origin": True, "properties": True, "headers": True, "body": True}
NOTHING = {"origin": False, "properties": False, "headers": False, "body": False}

EVERY_VALUE = [
    ["void", ["V"]], ["true", ["t", True]], ["false", ["t", False]],
    ["i8", ["b", -128]], ["u8", ["B", 255]], ["i16", ["s", -32768]], ["u16", ["u", 65535]],
    ["i32", ["I", -2147483648]], ["u32", ["i", 4294967295]], ["i64", ["l", "-9223372036854775808"]],
    ["f32", ["f", "3fc00000"]], ["f32-nan", ["f", "7fc00001"]],
    ["f64", ["d", "3ff8000000000000"]], ["f64-minus-zero", ["d", "8000000000000000"]],
    ["decimal", ["D", 2, 4294967295]], ["text", ["S", "grüße".encode().hex()]],
    ["not-utf8", ["S", "ff00fe"]], ["empty-text", ["S", ""]], ["bytes", ["x", "00ff"]],
    ["timestamp", ["T", "18446744073709551615"]],
    ["array", ["A", [["I", 1], ["S", "61"], ["A", []], ["F", []]]]],
    ["table", ["F", [["k", ["V"]], ["k", ["t", True]], ["inner", ["F", [["x", ["B", 7]]]]]]]],
    ["empty-array", ["A", []]], ["empty-table", ["F", []]], ["", ["V"]], ["i64", ["l", "9223372036854775807"]],
]


def message(index=0, **fields):
    """A plain message with some fields changed; `body` is bytes."""
    body = fields.pop("body", b"hello")
    return {
        "index": index, "redelivered": False, "attempt": 1,
        "delivery_mode": 2, "priority": None, "timestamp": None,
        "body_len": len(body), "body_cut": False,
        "origin": {"exchange": "in", "routing_key": "orders.eu"},
        "properties": {"content_type": "text/plain"},
        "headers": [["x-tenant", ["S", b"acme".hex()]]],
        "body": body.hex(),
        **fields,
    }


def nested(depth):
    """A value that makes the headers `depth` levels deep: tables and arrays in turn."""
    value = ["S", "62"]
    for level in range(depth - 1):
        value = ["A", [value]] if level % 2 else ["F", [["n", value]]]
    return value


def vectors():
    return [*valid(), *projections(), *lenient(), *bad_batches(), *bad_frames()]


def encoded(name, about, messages, needs=None, received=RECEIVED):
    needs = ALL if needs is None else needs
    data = encode_batch(received, needs, messages)
    expect = {"received_micros": received, "messages": [project(m, needs) for m in messages]}
    assert decode_batch(data) == expect, name
    encode = {"received_micros": received, "needs": needs, "messages": messages}
    return {"name": name, "about": about, "bytes": data.hex(), "expect": expect, "encode": encode}


def valid():
    bare = message(
        origin={"exchange": "", "routing_key": ""}, properties={}, headers=[], body=b"",
        delivery_mode=None,
    )
    texts = ["content_type", "content_encoding", "correlation_id", "reply_to", "expiration",
             "message_id", "type", "user_id", "app_id", "cluster_id"]
    long = "ü" * 127 + "x"
    return [
        encoded("empty-batch", "no messages", [], received="0"),
        encoded("empty-message", "everything empty or absent, and asked for", [bare]),
        encoded("plain", "one ordinary message", [message()]),
        encoded("three", "an odd count, so that the index is padded", [
            message(0), message(1, body=b"", redelivered=True, attempt=7), message(2, body=b"12345678"),
        ]),
        encoded("every-property", "all thirteen properties", [message(
            properties={name: f"the {name}" for name in texts},
            delivery_mode=1, priority=9, timestamp="1700000000",
        )]),
        encoded("extreme-numbers", "the largest numbers, and zeros that are there", [
            message(0, delivery_mode=255, priority=255, timestamp="18446744073709551615",
                    attempt=4294967295),
            message(1, delivery_mode=0, priority=0, timestamp="0"),
        ], received="18446744073709551615"),
        encoded("every-value", "a header of each type, with a name that is there twice",
                [message(headers=EVERY_VALUE)]),
        encoded("every-value-in-array", "each type in an array",
                [message(headers=[["a", ["A", [value for _, value in EVERY_VALUE]]]])]),
        encoded("nested-32", "as deep as it may be", [message(headers=[["n", nested(32)]])]),
        encoded("longest-texts", "short strings of 255 bytes, not all of them ASCII", [message(
            origin={"exchange": long, "routing_key": long}, properties={n: long for n in texts},
            headers=[[long, ["S", long.encode().hex()]]],
        )]),
        encoded("large-body", "a body whose length needs more than 16 bits",
                [message(body=b"a" * 65537)]),
        encoded("long-string", "a header whose length needs more than 8 bits",
                [message(headers=[["long", ["S", "61" * 257]]])]),
        encoded("largest-batch", "64 messages", [
            message(i, body=b"b" * i, origin={"exchange": "in", "routing_key": f"k{i}"})
            for i in range(64)
        ]),
    ]


def projections():
    whole = message(
        headers=[["a", ["I", 1]], ["x-tenant", ["S", "61"]], ["b", ["V"]], ["x-tenant", ["S", "62"]]],
        priority=3,
    )
    cases = [
        ("nothing", "head fields alone", NOTHING),
        ("origin", "origin alone", {**NOTHING, "origin": True}),
        ("properties", "properties alone", {**NOTHING, "properties": True}),
        ("one-header", "one header, there twice", {**NOTHING, "headers": ["x-tenant"]}),
        ("two-headers", "named in another order than the message's", {**NOTHING, "headers": ["b", "a"]}),
        ("no-such-header", "a name that the message lacks", {**NOTHING, "headers": ["nope"]}),
        ("no-names", "an empty list of names", {**NOTHING, "headers": []}),
        ("all-headers", "all headers and nothing else", {**NOTHING, "headers": True}),
        ("body", "body alone", {**NOTHING, "body": True}),
        ("prefix", "a prefix shorter than the body", {**NOTHING, "body": 3}),
        ("prefix-exact", "a prefix as long as the body: not cut", {**NOTHING, "body": 5}),
        ("prefix-longer", "a prefix longer than the body: not cut", {**NOTHING, "body": 4096}),
        ("prefix-zero", "a prefix of no bytes", {**NOTHING, "body": 0}),
        ("mixed", "a header and a prefix", {**NOTHING, "headers": ["a"], "body": 2}),
    ]
    return [encoded(f"needs-{name}", about, [whole], needs) for name, about, needs in cases]


def batch_of(frames, count=None, length=None, flags=0, version=1, magic=BATCH_MAGIC, offsets=None):
    """A batch put together by hand."""
    count = len(frames) if count is None else count
    head = 24 + 4 * len(frames)
    head += -head % 8
    if offsets is None:
        offsets = [head + sum(map(len, frames[:place])) for place in range(len(frames))]
    body = b"".join(frames)
    length = head + len(body) if length is None else length
    start = magic + pack("HHIIQ", version, flags, count, length, int(RECEIVED))
    return (start + b"".join(pack("I", offset) for offset in offsets)).ljust(head, b"\0") + body


def decoded(name, about, data):
    """A batch with whatever the codec finds in it."""
    return {"name": name, "about": about, "bytes": data.hex(), "expect": decode_batch(data)}


def read(name, about, data):
    vector = decoded(name, about, data)
    assert not any("refused" in m for m in vector["expect"]["messages"]), name
    return vector


def lenient():
    plain = encode_frame(message())
    parts = [(1, str8("in") + str8("k")), (4, b"hello"), (5, b"?"), (31, b""), (40, b"later")]
    unknown = encode_raw_frame(message(), parts, mask=1 << 1 | 1 << 4 | 1 << 5 | 1 << 31)
    reserved = bytearray(plain)
    reserved[12] |= 0xE0
    reserved[14] = 5
    reserved[15] = 0xFF
    reserved[16] = 9
    first, second = encode_frame(message(0)), encode_frame(message(1))
    return [
        read("unknown-parts", "parts of a later version are skipped, above 31 without a mask bit",
             batch_of([unknown])),
        read("unknown-flags", "unknown flags, the reserved octet and fields that are not present are"
             " ignored", batch_of([bytes(reserved)], flags=0xFFFF)),
        read("gap-between-frames", "offsets count, not neighbourhood",
             batch_of([first + bytes(16), second])),
        read("odd-offsets", "a frame that is not aligned",
             batch_of([b"\xEE" * 3 + plain], offsets=[32 + 3])),
    ]


def refused(name, about, data):
    try:
        decode_batch(data)
    except Refused as why:
        return {"name": name, "about": about, "bytes": data.hex(), "expect": {"refused": str(why)}}
    raise AssertionError(name)


def bad_batches():
    plain = encode_frame(message())
    return [
        refused("no-bytes", "an empty buffer", b""),
        refused("head-cut", "one byte less than the head", batch_of([])[:23]),
        refused("output-magic", "the magic of an output", batch_of([plain], magic=b"LGV1")),
        refused("big-endian-magic", "the magic backwards", batch_of([plain], magic=b"1BGL")),
        refused("version-0", "version 0", batch_of([plain], version=0)),
        refused("version-2", "version 2", batch_of([plain], version=2)),
        refused("length-short", "a length below the buffer's", batch_of([plain], length=32)),
        refused("length-long", "a length above the buffer's", batch_of([plain], length=1 << 20)),
        refused("count-huge", "a count whose index would wrap round 32 bits",
                batch_of([plain], count=0x40000001)),
        refused("count-beyond", "a count whose index does not fit", batch_of([plain], count=1000)),
    ]


def one_bad(name, about, bad, neighbour=True):
    """A bad frame between two good ones (or alone)."""
    frames = [encode_frame(message(0)), bad, encode_frame(message(2))] if neighbour else [bad]
    vector = decoded(f"frame-{name}", about, batch_of(frames))
    assert ["refused" in m for m in vector["expect"]["messages"]].count(True) == 1, name
    return vector


def with_part(part, content, **fields):
    return encode_raw_frame(message(1, **fields), [(part, content)])


def with_headers(content, count=1):
    return with_part(3, pack("I", count) + content)


def patched(frame, at, data):
    return frame[:at] + data + frame[at + len(data):]


def bad_frames():
    plain = encode_frame(message(1))
    entry = str8("n")
    value_at = str8("k")
    length = len(plain)
    cases = [
        ("length-0", "a length of 0", patched(plain, 0, pack("I", 0))),
        ("length-in-head", "a length below the head's", patched(plain, 0, pack("I", 31))),
        ("length-beyond", "a length beyond the buffer", patched(plain, 0, pack("I", 1 << 30))),
        ("length-max", "a length that wraps round", patched(plain, 0, pack("I", 0xFFFFFFFF))),
        ("length-in-part", "a length that cuts the last part", patched(plain, 0, pack("I", length - 8))),
        ("length-in-padding", "a length that cuts the padding", patched(plain, 0, pack("I", length - 1))),
        ("index-is-count", "an index not below the count", patched(plain, 4, pack("I", 3))),
        ("index-max", "the largest index", patched(plain, 4, pack("I", 0xFFFFFFFF))),
        ("mask-too-much", "a mask bit without a part", patched(plain, 8, pack("I", 0x3E))),
        ("mask-too-little", "a part without its mask bit", patched(plain, 8, pack("I", 0x1C))),
        ("part-length-max", "a part length that wraps round", patched(plain, 36, pack("I", 0xFFFFFFFF))),
        ("part-head-cut", "half a part head at the end",
         patched(plain + bytes(4), 0, pack("I", length + 4))),
        ("parts-descend", "parts in descending order",
         encode_raw_frame(message(1), [(4, b"hello"), (1, str8("") + str8(""))])),
        ("part-twice", "one part twice",
         encode_raw_frame(message(1), [(4, b"hello"), (4, b"hello")], mask=1 << 4)),
        ("origin-cut", "an exchange longer than the part", with_part(1, b"\x05in")),
        ("origin-no-key", "no routing key", with_part(1, str8("in"))),
        ("origin-left-over", "bytes after the routing key", with_part(1, str8("in") + str8("k") + b"x")),
        ("exchange-not-utf8", "an exchange that is not UTF-8", with_part(1, b"\x01\xff" + str8("k"))),
        ("key-not-utf8", "a surrogate in the routing key", with_part(1, str8("in") + b"\x03\xed\xa0\x80")),
        ("properties-empty", "no count", with_part(2, b"")),
        ("properties-count", "a count above the properties", with_part(2, b"\x02\x01" + str8("a"))),
        ("properties-left-over", "a count below the properties",
         with_part(2, b"\x01\x01" + str8("a") + b"\x05" + str8("b"))),
        ("property-0", "property number 0", with_part(2, b"\x01\x00" + str8("a"))),
        ("property-14", "property number 14", with_part(2, b"\x01\x0e" + str8("a"))),
        ("property-number", "a numeric property among the texts", with_part(2, b"\x01\x04" + str8("a"))),
        ("property-not-utf8", "a property that is not UTF-8", with_part(2, b"\x01\x01\x01\xc0")),
        ("headers-no-count", "no room for the count", with_part(3, b"\x01\x00\x00")),
        ("headers-count-high", "a count above the headers", with_headers(entry + b"V", 2)),
        ("headers-count-low", "a count below the headers", with_headers((entry + b"V") * 2, 1)),
        ("headers-count-max", "the largest count", with_headers(entry + b"V", 0xFFFFFFFF)),
        ("header-name-cut", "a name longer than the part", with_headers(b"\xff" + b"nV")),
        ("header-name-not-utf8", "a name that is not UTF-8", with_headers(b"\x01\x80V")),
        ("header-no-value", "a name without a value", with_headers(entry)),
        ("tag-unknown", "an unknown tag", with_headers(entry + b"Z\0\0\0\0")),
        ("tag-0", "tag 0", with_headers(entry + b"\0")),
        ("boolean-2", "a boolean of 2", with_headers(entry + b"t\x02")),
        ("string-length-max", "a string length that wraps round",
         with_headers(entry + b"S\xff\xff\xff\xffab")),
        ("array-cut", "an array longer than the part", with_headers(entry + b"A" + pack("I", 9) + b"V")),
        ("array-inner-cut", "an item that crosses the array's end",
         with_headers(entry + b"A" + bytes32(b"I\0\0") + b"\0\0")),
        ("table-inner-cut", "an entry that crosses the table's end",
         with_headers(entry + b"F" + bytes32(value_at + b"S\x05\0\0\0ab") + b"abc")),
        ("nested-33", "one level too deep", with_headers(entry + encode_value(nested(33)))),
        ("nested-33-empty", "one level too deep, the deepest table empty",
         with_headers(entry + empty_nest(33))),
        ("nested-1000", "a thousand levels", with_headers(entry + empty_nest(1000))),
        ("body-longer", "more body than the whole body", with_part(4, b"hello!")),
        ("body-cut-unsaid", "a prefix without the flag", with_part(4, b"hell")),
        ("body-cut-untrue", "the flag without a prefix", with_part(4, b"hello", body_cut=True)),
    ]
    vectors = [one_bad(*case) for case in cases]
    vectors += [one_bad(f"short-{cut}", f"the buffer ends {cut} bytes into the frame", plain[:cut], False)
                for cut in (0, 1, 3, 4, 31)]
    good = encode_frame(message(0))
    for name, about, offset in [
        ("offset-end", "a frame that starts where the buffer ends", 32 + len(good)),
        ("offset-beyond", "a frame that starts beyond the buffer", 1 << 24),
        ("offset-max", "the largest offset", 0xFFFFFFFF),
        ("offset-last-bytes", "no room for a length", 32 + len(good) - 3),
    ]:
        vectors.append(decoded(f"frame-{name}", about, batch_of([good], offsets=[offset])))
        assert "refused" in vectors[-1]["expect"]["messages"][0], name
    return vectors


def empty_nest(depth):
    """An encoded value of tables alone that makes the headers `depth` levels deep."""
    data = b"F" + bytes32(b"")
    for _ in range(depth - 2):
        data = b"F" + bytes32(str8("") + data)
    return data
