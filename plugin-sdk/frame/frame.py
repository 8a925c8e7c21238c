"""Reference codec of the frame format, version 1: written from docs/reference/frame.md alone, for
clarity and not for speed. Messages, verdicts and values are the JSON forms of README.md."""

import struct

BATCH_MAGIC, OUTPUT_MAGIC, VERSION = b"LGB1", b"LGV1", 1
MAX_DEPTH = 32
MAX_TEXT = 1024

PROPERTIES = {
    1: "content_type", 2: "content_encoding", 3: "delivery_mode", 4: "priority",
    5: "correlation_id", 6: "reply_to", 7: "expiration", 8: "message_id", 9: "timestamp",
    10: "type", 11: "user_id", 12: "app_id", 13: "cluster_id",
}
NUMBERS = {name: number for number, name in PROPERTIES.items()}
NUMERIC = {"delivery_mode": "B", "priority": "B", "timestamp": "Q"}

# Tag -> struct format of values of a fixed size that JSON carries as a number.
SMALL = {"b": "b", "B": "B", "s": "h", "u": "H", "I": "i", "i": "I"}
# Tag -> struct format of 64-bit integers, in JSON decimal strings.
WIDE = {"l": "q", "T": "Q"}
# Tag -> (struct format of the bits, hexadecimal digits).
FLOATS = {"f": ("I", 8), "d": ("Q", 16)}

VERDICTS = ["pass", "modify", "route", "emit", "drop", "reject", "retry", "fail"]
FAILURES = {1: "bad_message", 3: "dependency", 4: "internal"}


class Refused(Exception):
    """The bytes are not what the format allows; the text says why, for people."""


class Reader:
    """A cursor that checks every length before it follows one."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def left(self):
        return len(self.data) - self.at

    def take(self, length):
        if length > self.left():
            raise Refused("cut off")
        self.at += length
        return self.data[self.at - length : self.at]

    def number(self, kind):
        return struct.unpack("<" + kind, self.take(struct.calcsize("<" + kind)))[0]

    def str8(self):
        return text(self.take(self.number("B")))

    def bytes32(self):
        return self.take(self.number("I"))

    def end(self):
        if self.left():
            raise Refused("bytes left over")


def text(data):
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused("not UTF-8") from None


def pack(kinds, *numbers):
    return struct.pack("<" + kinds, *numbers)


def str8(string):
    data = string.encode("utf-8")
    if len(data) > 255:
        raise ValueError("longer than 255 bytes")
    return pack("B", len(data)) + data


def bytes32(data):
    return pack("I", len(data)) + data


# Values


def encode_value(value):
    tag = value[0]
    if tag == "V":
        rest = b""
    elif tag == "t":
        rest = pack("B", 1 if value[1] else 0)
    elif tag in SMALL:
        rest = pack(SMALL[tag], value[1])
    elif tag in WIDE:
        rest = pack(WIDE[tag], int(value[1]))
    elif tag in FLOATS:
        rest = pack(FLOATS[tag][0], int(value[1], 16))
    elif tag == "D":
        rest = pack("BI", value[1], value[2])
    elif tag in ("S", "x"):
        rest = bytes32(bytes.fromhex(value[1]))
    elif tag == "A":
        rest = bytes32(b"".join(encode_value(item) for item in value[1]))
    elif tag == "F":
        rest = bytes32(encode_entries(value[1]))
    else:
        raise ValueError(f"tag {tag!r}")
    return tag.encode() + rest


def encode_entries(entries):
    return b"".join(str8(name) + encode_value(value) for name, value in entries)


def decode_value(reader, level):
    """One value in a container of this level; the headers themselves are level 1."""
    tag = chr(reader.number("B"))
    if tag == "V":
        return ["V"]
    if tag == "t":
        octet = reader.number("B")
        if octet > 1:
            raise Refused("a boolean above 1")
        return ["t", octet == 1]
    if tag in SMALL:
        return [tag, reader.number(SMALL[tag])]
    if tag in WIDE:
        return [tag, str(reader.number(WIDE[tag]))]
    if tag in FLOATS:
        kind, digits = FLOATS[tag]
        return [tag, f"{reader.number(kind):0{digits}x}"]
    if tag == "D":
        return [tag, reader.number("B"), reader.number("I")]
    if tag in ("S", "x"):
        return [tag, reader.bytes32().hex()]
    if tag in ("A", "F"):
        content = Reader(reader.bytes32())
        if level + 1 > MAX_DEPTH:
            raise Refused("nested too deep")
        if tag == "F":
            return [tag, decode_entries(content, level + 1)]
        items = []
        while content.left():
            items.append(decode_value(content, level + 1))
        return [tag, items]
    raise Refused("unknown tag")


def decode_entries(reader, level):
    entries = []
    while reader.left():
        name = reader.str8()
        entries.append([name, decode_value(reader, level)])
    return entries


# Batches


def project(message, needs):
    """The message with only the parts that `needs` asks for."""
    headers, body = message["headers"], bytes.fromhex(message["body"])
    asked = needs.get("headers", False)
    if isinstance(asked, list):
        headers = [entry for entry in headers if entry[0] in asked]
    elif not asked:
        headers = None
    length = needs.get("body", False)
    if length is not True:
        handed = None if length is False else body[:length]
    else:
        handed = body
    return {
        **message,
        "origin": message["origin"] if needs.get("origin") else None,
        "properties": message["properties"] if needs.get("properties") else None,
        "headers": headers,
        "body": None if handed is None else handed.hex(),
        "body_cut": handed is not None and len(handed) < len(body),
    }


def encode_batch(received_micros, needs, messages):
    frames = [encode_frame(project(message, needs)) for message in messages]
    head = 24 + 4 * len(frames)
    head += -head % 8
    offsets, at = b"", head
    for frame in frames:
        offsets += pack("I", at)
        at += len(frame)
    start = BATCH_MAGIC + pack("HHIIQ", VERSION, 0, len(frames), at, int(received_micros))
    return (start + offsets).ljust(head, b"\0") + b"".join(frames)


def encode_frame(message):
    parts = []
    if message["origin"] is not None:
        origin = message["origin"]
        parts.append((1, str8(origin["exchange"]) + str8(origin["routing_key"])))
    if message["properties"] is not None:
        texts = sorted((NUMBERS[name], string) for name, string in message["properties"].items())
        content = b"".join(pack("B", number) + str8(string) for number, string in texts)
        parts.append((2, pack("B", len(texts)) + content))
    if message["headers"] is not None:
        headers = message["headers"]
        parts.append((3, pack("I", len(headers)) + encode_entries(headers)))
    if message["body"] is not None:
        parts.append((4, bytes.fromhex(message["body"])))
    return encode_raw_frame(message, parts)


def encode_raw_frame(message, parts, mask=None):
    """A frame of any parts; `mask` to lie about them."""
    mode, priority, timestamp = (message[k] for k in ("delivery_mode", "priority", "timestamp"))
    flags = [message["redelivered"], priority is not None, timestamp is not None, mode is not None]
    flags = sum(1 << bit for bit, flag in enumerate([*flags, message["body_cut"]]) if flag)
    if mask is None:
        mask = sum(1 << part for part, _ in parts)
    data = b""
    for part, content in parts:
        data += pack("II", part, len(content)) + content + bytes(-len(content) % 8)
    return (
        pack("IIIBBBB", 32 + len(data), message["index"], mask, flags, mode or 0, priority or 0, 0)
        + pack("QII", int(timestamp or 0), message["attempt"], message["body_len"])
        + data
    )


def decode_batch(data):
    """The batch; refused as a whole, or each message that cannot be read by itself."""
    reader = Reader(data)
    if reader.take(4) != BATCH_MAGIC:
        raise Refused("wrong magic")
    if reader.number("H") != VERSION:
        raise Refused("unknown version")
    reader.number("H")
    count = reader.number("I")
    if reader.number("I") != len(data):
        raise Refused("the length is not the buffer's")
    received = reader.number("Q")
    if 4 * count > reader.left():
        raise Refused("the index is cut off")
    messages = []
    for place in range(count):
        try:
            messages.append(decode_frame(data, reader.number("I"), count))
        except Refused as why:
            messages.append({"index": place, "refused": str(why)})
    return {"received_micros": str(received), "messages": messages}


def decode_frame(data, offset, count):
    if offset > len(data):
        raise Refused("starts beyond the buffer")
    length = Reader(data[offset:]).number("I")
    reader = Reader(Reader(data[offset:]).take(length))
    _, index, mask, flags, mode, priority, _ = (reader.number(kind) for kind in "IIIBBBB")
    timestamp, attempt, body_len = (reader.number(kind) for kind in "QII")
    if index >= count:
        raise Refused("the index is not below the count")
    parts, last = {}, -1
    while reader.left():
        part = reader.number("I")
        content = reader.bytes32()
        reader.take(-len(content) % 8)
        if part <= last:
            raise Refused("parts are not in ascending order")
        parts[part] = content
        last = part
    if mask != sum(1 << part for part in parts if part < 32):
        raise Refused("the mask does not say which parts follow")
    body, cut = parts.get(4), bool(flags & 16)
    if body is not None and (len(body) > body_len or (len(body) < body_len) != cut):
        raise Refused("the body contradicts its length")
    return {
        "index": index,
        "redelivered": bool(flags & 1),
        "attempt": attempt,
        "delivery_mode": mode if flags & 8 else None,
        "priority": priority if flags & 2 else None,
        "timestamp": str(timestamp) if flags & 4 else None,
        "body_len": body_len,
        "body_cut": cut,
        "origin": decode_origin(parts[1]) if 1 in parts else None,
        "properties": decode_properties(parts[2]) if 2 in parts else None,
        "headers": decode_headers(parts[3]) if 3 in parts else None,
        "body": None if body is None else body.hex(),
    }


def decode_origin(content):
    reader = Reader(content)
    origin = {"exchange": reader.str8(), "routing_key": reader.str8()}
    reader.end()
    return origin


def decode_properties(content):
    reader, properties = Reader(content), {}
    for _ in range(reader.number("B")):
        name = PROPERTIES.get(reader.number("B"))
        if name is None or name in NUMERIC:
            raise Refused("not the number of a short string")
        properties.setdefault(name, reader.str8())
    reader.end()
    return properties


def decode_headers(content):
    reader = Reader(content)
    count = reader.number("I")
    entries = decode_entries(reader, 1)
    if len(entries) != count:
        raise Refused("the count is not that of the headers")
    return entries


# Outputs


def encode_output(verdicts, reasons, order=None):
    """The output with one record per verdict, in index order or in `order`."""
    order = range(len(verdicts)) if order is None else order
    return encode_raw_output([encode_record(at, verdicts[at], reasons) for at in order])


def encode_raw_output(records, count=None, tail=b""):
    data = b"".join(records) + tail
    count = len(records) if count is None else count
    return OUTPUT_MAGIC + pack("HHII", VERSION, 0, count, 16 + len(data)) + data


def encode_record(index, verdict, reasons):
    name = verdict["verdict"]
    reason = verdict.get("reason")
    reason = 0 if reason is None else 1 + reasons.index(reason)
    string = verdict.get("text", "").encode("utf-8")
    payload = None
    if name == "modify":
        payload = encode_delta(verdict["delta"])
    elif name == "route":
        routes = verdict["routes"]
        payload = pack("B", len(routes)) + b"".join(map(str8, routes))
        payload += encode_delta(verdict["delta"])
    elif name == "emit":
        payload = pack("I", len(verdict["children"]))
        for child in verdict["children"]:
            payload += str8(child["route"] or "") + bytes32(encode_delta(child["delta"]))
    elif name == "reject" and string:
        payload = string
    elif name == "retry":
        payload = pack("I", verdict["after_ms"]) + string
    elif name == "fail":
        kinds = {kind: number for number, kind in FAILURES.items()}
        payload = pack("B", kinds[verdict["kind"]]) + string
    return encode_raw_record(index, VERDICTS.index(name), reason, payload)


def encode_raw_record(index, number, reason=0, payload=None, flags=None):
    if flags is None:
        flags = 0 if payload is None else 1
    return pack("IBBH", index, number, flags, reason) + (
        b"" if payload is None else bytes32(payload)
    )


def encode_delta(changes):
    return b"".join(map(encode_change, changes))


def encode_change(change):
    name, operands = change[0], change[1:]
    if name == "routing_key":
        return b"\x01" + str8(operands[0])
    if name == "property":
        kind = NUMERIC.get(operands[0])
        value = pack(kind, int(operands[1])) if kind else str8(operands[1])
        return b"\x02" + pack("B", NUMBERS[operands[0]]) + value
    if name == "clear_property":
        return b"\x03" + pack("B", NUMBERS[operands[0]])
    if name == "header":
        return b"\x04" + str8(operands[0]) + encode_value(operands[1])
    if name == "remove_header":
        return b"\x05" + str8(operands[0])
    if name == "body":
        return b"\x06" + bytes32(bytes.fromhex(operands[0]))
    if name == "clear_headers":
        return b"\x07"
    raise ValueError(name)


def decode_output(data, count, reasons):
    """One verdict per message of a batch of `count`; what cannot be read is a fault."""
    records = [[] for _ in range(count)]
    try:
        for index, record in split_output(data, count):
            records[index].append(record)
    except Refused as why:
        return [fault(str(why)) for _ in range(count)]
    return [decode_own(own, reasons) for own in records]


def fault(about):
    return {"verdict": "fault", "about": about}


def split_output(data, count):
    reader = Reader(data)
    if reader.take(4) != OUTPUT_MAGIC:
        raise Refused("wrong magic")
    if reader.number("H") != VERSION:
        raise Refused("unknown version")
    reader.number("H")
    number = reader.number("I")
    if reader.number("I") != len(data):
        raise Refused("the length is not the buffer's")
    records = []
    for _ in range(number):
        index, verdict, flags, reason = (reader.number(kind) for kind in "IBBH")
        if flags > 1:
            raise Refused("unknown record flag")
        payload = reader.bytes32() if flags else None
        if index >= count:
            raise Refused("an index not below the count")
        records.append((index, (verdict, reason, payload)))
    reader.end()
    return records


def decode_own(records, reasons):
    if not records:
        return fault("no record")
    if len(records) > 1:
        return fault("two records")
    try:
        return decode_record(*records[0], reasons)
    except Refused as why:
        return fault(str(why))


def decode_record(number, reason, payload, reasons):
    if number >= len(VERDICTS):
        raise Refused("unknown verdict")
    name = VERDICTS[number]
    if reason and name not in ("drop", "reject"):
        raise Refused("a reason where none belongs")
    if reason > len(reasons):
        raise Refused("a reason that was not described")
    reader = Reader(payload or b"")
    verdict = {"verdict": name}
    if name in ("drop", "reject"):
        verdict["reason"] = reasons[reason - 1] if reason else None
    if name == "modify":
        verdict["delta"] = decode_delta(reader)
    elif name == "route":
        verdict["routes"] = [reader.str8() for _ in range(reader.number("B"))]
        if not verdict["routes"]:
            raise Refused("no routes")
        verdict["delta"] = decode_delta(reader)
    elif name == "emit":
        verdict["children"] = decode_children(reader)
    elif name == "retry":
        verdict["after_ms"] = reader.number("I")
    elif name == "fail":
        kind = reader.number("B")
        if kind not in FAILURES:
            raise Refused("unknown kind of failure")
        verdict["kind"] = FAILURES[kind]
    if name in ("reject", "retry", "fail"):
        verdict["text"] = text_for_people(reader.take(reader.left()))
    reader.end()
    return verdict


def text_for_people(data):
    """Repaired where it is not UTF-8, then cut before the character that crosses the limit."""
    repaired = data.decode("utf-8", "replace").encode("utf-8")
    return repaired[:MAX_TEXT].decode("utf-8", "ignore")


def decode_children(reader):
    children = []
    for _ in range(reader.number("I")):
        route = reader.str8() or None
        children.append({"route": route, "delta": decode_delta(Reader(reader.bytes32()))})
    reader.end()
    return children


def decode_delta(reader):
    changes = []
    while reader.left():
        changes.append(decode_change(reader))
    return changes


def decode_change(reader):
    operation = reader.number("B")
    if operation == 1:
        return ["routing_key", reader.str8()]
    if operation == 2:
        name = property_name(reader)
        kind = NUMERIC.get(name)
        if kind is None:
            return ["property", name, reader.str8()]
        number = reader.number(kind)
        return ["property", name, str(number) if kind == "Q" else number]
    if operation == 3:
        return ["clear_property", property_name(reader)]
    if operation == 4:
        name = reader.str8()
        return ["header", name, decode_value(reader, 1)]
    if operation == 5:
        return ["remove_header", reader.str8()]
    if operation == 6:
        return ["body", reader.bytes32().hex()]
    if operation == 7:
        return ["clear_headers"]
    raise Refused("unknown operation")


def property_name(reader):
    number = reader.number("B")
    if number not in PROPERTIES:
        raise Refused("unknown property number")
    return PROPERTIES[number]
