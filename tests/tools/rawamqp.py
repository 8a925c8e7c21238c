"""A minimal AMQP 0-9-1 client on a bare socket: it writes and reads content headers byte by byte.

For what no client library writes: field types that pika lacks, names that are not UTF-8, tables
nested a thousand deep, headers up to the frame size. Standard library only; the frame and method
layouts are those of the AMQP 0-9-1 specification, sections 2.3 and 4.2, with RabbitMQ's errata.

  rawamqp.py URL types EXCHANGE KEY OUT    one message for each field type and place
  rawamqp.py URL hostile EXCHANGE KEY OUT  one message for each thing that brokers accept and clients choke on
  rawamqp.py URL sized EXCHANGE KEY OUT SIZE…  a message with a content header of each SIZE (bytes of the
                                       frame's payload), its body and key SIZE's own, and a plain neighbour after each
  rawamqp.py URL changed EXCHANGE KEY OUT  one message for each thing that comes out other than it went in
  rawamqp.py URL forged EXCHANGE KEY OUT   a message with headers that a dead letter would have
  rawamqp.py URL drain OUT COUNT QUEUE…  takes COUNT messages, waiting for them, and looks for one more
  rawamqp.py URL look QUEUE COUNT      takes COUNT messages, waiting for them, and goes without an answer
  rawamqp.py compare SENT RECEIVED     checks `types`: all there, unchanged
  rawamqp.py judge SENT RECEIVED DEAD-QUEUE   checks `hostile`: each where it must be, envelopes readable
  rawamqp.py fit SENT RECEIVED FRAME-MAX  checks `sized`: all there, each frame no larger than FRAME-MAX; prints
                                       {what is wrong, sizes that came in envelopes, sizes that came without}
  rawamqp.py differ SENT RECEIVED      checks `changed`: each as it must have become

A KEY or an EXCHANGE may be any bytes: `hex:fe6b`.
"""

import json
import socket
import struct
import sys
import time
import urllib.parse

import lab

FRAME_METHOD, FRAME_HEADER, FRAME_BODY = 1, 2, 3
FRAME_END = 0xCE
ENVELOPE = "application/vnd.lockgate.envelope"
# Property names by bit of the flag word, from the highest, and their types.
PROPERTIES = [
    ("content_type", "s"), ("content_encoding", "s"), ("headers", "F"), ("delivery_mode", "o"),
    ("priority", "o"), ("correlation_id", "s"), ("reply_to", "s"), ("expiration", "s"),
    ("message_id", "s"), ("timestamp", "T"), ("type", "s"), ("user_id", "s"), ("app_id", "s"),
    ("cluster_id", "s"),
]  # fmt: skip
sys.setrecursionlimit(50_000)


# --- encoding -------------------------------------------------------------------------------


def short(value):
    value = value.encode() if isinstance(value, str) else value
    return struct.pack(">B", len(value)) + value


def long(value):
    value = value.encode() if isinstance(value, str) else value
    return struct.pack(">I", len(value)) + value


def table(entries):
    """A table of (name, tag and value as bytes) pairs, in this order."""
    return long(b"".join(short(name) + value for name, value in entries))


def nested(depth):
    """A table value that is `depth` levels deep, written from the inside."""
    inner = b"t\x01"
    for _ in range(depth):
        inner = b"F" + table([("n", inner)])
    return inner


def content_header(size, properties):
    """The payload of a content header; `properties` maps names to bytes as on the wire."""
    flags, values = 0, b""
    for bit, (name, _) in enumerate(PROPERTIES):
        if name in properties:
            flags |= 1 << (15 - bit)
            values += properties[name]
    return struct.pack(">HHQH", 60, 0, size, flags) + values


# --- decoding -------------------------------------------------------------------------------

FIXED = {"t": 1, "b": 1, "B": 1, "s": 2, "u": 2, "U": 2, "I": 4, "i": 4, "l": 8, "L": 8,
         "f": 4, "d": 8, "D": 5, "T": 8, "V": 0}  # fmt: skip
# Two tags with one meaning: RabbitMQ knows both, clients write one.
ALIAS = {"L": "l", "U": "s"}


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        piece = self.data[self.at : self.at + count]
        if len(piece) != count:
            raise ValueError("cut off")
        self.at += count
        return piece

    def number(self, count):
        return int.from_bytes(self.take(count), "big")

    def value(self):
        tag = chr(self.number(1))
        if tag in FIXED:
            return [ALIAS.get(tag, tag), self.take(FIXED[tag]).hex()]
        content = self.take(self.number(4))
        if tag in "Sx":
            return [tag, content.hex()]
        inner = Reader(content)
        if tag == "A":
            items = []
            while inner.at < len(content):
                items.append(inner.value())
            return [tag, items]
        if tag == "F":
            return [tag, inner.entries()]
        raise ValueError(f"field type {tag!r}")

    def entries(self):
        """All entries as {name in hex: value}; of a doubled name the first counts."""
        found = {}
        while self.at < len(self.data):
            name = self.take(self.number(1)).hex()
            value = self.value()
            found.setdefault(name, value)
        return found


def decode_header(payload):
    """A content header's payload as {property: value}, the size of the body left out."""
    reader = Reader(payload)
    reader.take(12)
    flags = reader.number(2)
    found = {}
    for bit, (name, kind) in enumerate(PROPERTIES):
        if not flags & (1 << (15 - bit)):
            continue
        if kind == "s":
            found[name] = reader.take(reader.number(1)).hex()
        elif kind == "F":
            found[name] = Reader(reader.take(reader.number(4))).entries()
        else:
            found[name] = reader.take(1 if kind == "o" else 8).hex()
    if reader.at != len(payload):
        raise ValueError("bytes left over")
    return found


def text(hexed):
    return bytes.fromhex(hexed or "").decode("utf-8", "replace")


# --- the connection -------------------------------------------------------------------------


class Closed(Exception):
    """The broker closed the channel or the connection."""


class Raw:
    def __init__(self, url):
        parts = urllib.parse.urlsplit(url)
        self.socket = socket.create_connection((parts.hostname, parts.port or 5672), timeout=30)
        self.file = self.socket.makefile("rb")
        user, password = (urllib.parse.unquote(p or "guest") for p in (parts.username, parts.password))
        vhost = urllib.parse.unquote(parts.path[1:]) or "/"
        self.socket.sendall(b"AMQP\x00\x00\x09\x01")
        self.expect(0, 10, 10)
        login = f"\0{user}\0{password}".encode()
        self.method(0, 10, 11, table([]) + short("PLAIN") + long(login) + short("en_US"))
        tune = self.expect(0, 10, 30)
        channels, self.frame_max, _ = struct.unpack(">HIH", tune)
        self.method(0, 10, 31, struct.pack(">HIH", channels, self.frame_max, 0))
        self.method(0, 10, 40, short(vhost) + short("") + b"\0")
        self.expect(0, 10, 41)
        self.method(1, 20, 10, short(""))
        self.expect(1, 20, 11)

    def frame(self, kind, channel, payload):
        self.socket.sendall(struct.pack(">BHI", kind, channel, len(payload)) + payload + b"\xce")

    def method(self, channel, group, number, arguments):
        self.frame(FRAME_METHOD, channel, struct.pack(">HH", group, number) + arguments)

    def read(self):
        head = self.file.read(7)
        if len(head) < 7:
            raise Closed("end of stream")
        kind, channel, size = struct.unpack(">BHI", head)
        payload = self.file.read(size)
        if self.file.read(1) != bytes([FRAME_END]):
            raise Closed("frame end expected")
        return kind, channel, payload

    def expect(self, channel, group, *numbers):
        """The arguments of the next method, which must be one of `numbers`."""
        while True:
            kind, at, payload = self.read()
            if kind != FRAME_METHOD:
                continue
            found = struct.unpack(">HH", payload[:4])
            if found in ((10, 50), (20, 40)):
                code = struct.unpack(">H", payload[4:6])[0]
                raise Closed(f"{code} {payload[7 : 7 + payload[6]].decode()}")
            if at == channel and found[0] == group and found[1] in numbers:
                self.found = found[1]
                return payload[4:]

    def confirm_mode(self):
        self.method(1, 85, 10, b"\0")
        self.expect(1, 85, 11)

    def publish(self, exchange, key, header, body):
        """One message, and its confirm."""
        self.method(1, 60, 40, struct.pack(">H", 0) + short(exchange) + short(key) + b"\0")
        self.frame(FRAME_HEADER, 1, header)
        room = (self.frame_max or 131_072) - 8
        for at in range(0, len(body), room):
            self.frame(FRAME_BODY, 1, body[at : at + room])
        self.expect(1, 60, 80)

    def get(self, queue, for_good=True):
        """(content header's payload, body) of one message, or None. Where it came from is in `names`."""
        self.method(1, 60, 70, struct.pack(">H", 0) + short(queue) + bytes([for_good]))
        arguments = self.expect(1, 60, 71, 72)
        if self.found == 72:
            return None
        names = Reader(arguments[9:])
        self.names = [names.take(names.number(1)) for _ in range(2)]
        _, _, header = self.read()
        size = struct.unpack(">Q", header[4:12])[0]
        body = b""
        while len(body) < size:
            body += self.read()[2]
        return header, body

    def close(self):
        self.method(0, 10, 50, struct.pack(">H", 200) + short("bye") + struct.pack(">HH", 0, 0))
        self.expect(0, 10, 51)
        self.socket.close()


# --- the messages ---------------------------------------------------------------------------


def every_type():
    """name → tag and value as bytes, for each field type at its limits."""
    return {
        "void": b"V",
        "true": b"t\x01",
        "false": b"t\x00",
        "i8": b"b\x80",
        "u8": b"B\xff",
        "i16": b"s\x80\x00",
        "u16": b"u\xff\xff",
        "i32": b"I\x80\x00\x00\x00",
        "u32": b"i\xff\xff\xff\xff",
        "i64-min": b"l\x80" + b"\0" * 7,
        "i64-max": b"l\x7f" + b"\xff" * 7,
        "f32": b"f" + struct.pack(">f", 1.5e-40),
        "f64": b"d" + struct.pack(">d", 5e-324),
        "f64-minus-zero": b"d" + struct.pack(">d", -0.0),
        "f64-large": b"d" + struct.pack(">d", 1.7e308),
        "decimal": b"D\x05\x00\x04\xcb\x2f",
        "decimal-negative": b"D\x01\xff\xff\xff\x83",
        "decimal-scale": b"D\xff\x00\x00\x00\x01",
        "text": b"S" + long("grün 🐇"),
        "text-empty": b"S" + long(""),
        "text-not-utf8": b"S" + long(b"\xff\xfe\x00\xc3\x28"),
        "text-with-nul": b"S" + long(b"a\x00b"),
        "bytes": b"x" + long(bytes(range(256))),
        "bytes-empty": b"x" + long(b""),
        "timestamp": b"T" + struct.pack(">Q", 1_709_210_000),
        "timestamp-large": b"T" + struct.pack(">Q", 2**53),
        "array-empty": b"A" + long(b""),
        "array": b"A" + long(b"t\x01" + b"S" + long("x") + b"V" + b"A" + long(b"b\x01")),
        "table-empty": b"F" + table([]),
        "table": b"F" + table([("", b"V"), ("k" * 255, b"I\0\0\0\x01"), ("t", b"F" + table([]))]),
        "nested-20": nested(20),
    }


def types():
    """(name, properties) of messages that must come out as they went in."""
    base = {"delivery_mode": b"\x02"}
    kinds = every_type()
    for name, value in kinds.items():
        yield name, {**base, "headers": table([("h", value)])}
        yield name + "-in-array", {**base, "headers": table([("h", b"A" + long(value + value))])}
        yield name + "-in-table", {**base, "headers": table([("h", b"F" + table([("k", value)]))])}
    yield "all-together", {**base, "headers": table(list(kinds.items()))}
    yield "no-headers", base
    yield "empty-headers", {**base, "headers": table([])}
    yield "many-headers", {**base, "headers": table([(f"h{n}", b"I" + struct.pack(">i", n)) for n in range(500)])}
    full = {
        "content_type": short("c" * 255), "content_encoding": short("é"), "priority": b"\xff",
        "correlation_id": short(""), "reply_to": short("r"), "expiration": short("86400000"),
        "message_id": short("m" * 255), "timestamp": struct.pack(">Q", 2**40), "type": short("t"),
        "app_id": short("a"), "cluster_id": short("c"),
    }  # fmt: skip
    yield "all-properties", {**base, **full}
    for name, value in full.items():
        yield "only-" + name, {**base, name: value}


def hostile(frame_max):
    """(name, where it must end, properties, or None for a plain neighbour)"""
    base = {"delivery_mode": b"\x02"}
    room = frame_max - 8 - 14 - 1 - 4  # what a header frame leaves for the table's entries
    deep = table([("deep", nested(1000))])
    cases = [
        ("nested-1000", "envelope", {"headers": deep}),
        ("nested-arrays", "envelope", {"headers": table([("deep", nested_arrays(1000))])}),
        ("nested-33", "envelope", {"headers": table([("deep", nested(40))])}),
        ("key-not-utf8", "envelope", {"headers": table([(b"\xff\xfe\x80", b"t\x01")])}),
        ("inner-key-not-utf8", "envelope",
         {"headers": table([("t", b"F" + table([(b"\xc3\x28", b"V")]))])}),
        ("content-type-not-utf8", "envelope", {"content_type": short(b"\xff\xfetext")}),
        ("message-id-not-utf8", "envelope", {"message_id": short(b"\x80\x81")}),
        ("key-of-255-bytes", "out", {"headers": table([("k" * 255, b"t\x01")])}),
        ("value-not-utf8", "out", {"headers": table([("v", b"S" + long(b"\xff\xfe"))])}),
        ("headers-fill-the-frame", "envelope",
         {"headers": table([("big", b"S" + long(b"x" * (room - 4 - 5)))])}),
        ("headers-almost-fill-it", "envelope",
         {"headers": table([("big", b"S" + long(b"x" * (room - 4 - 5 - 20)))])}),
        # A broker that dead-letters it, or delivers it again, would make it longer than a frame.
        ("headers-leave-200-bytes", "envelope",
         {"headers": table([("big", b"S" + long(b"x" * (room - 4 - 5 - 200)))])}),
        ("headers-leave-a-tenth", "out",
         {"headers": table([("big", b"S" + long(b"x" * (room * 9 // 10)))])}),
        ("headers-of-100-kB", "out", {"headers": table([("big", b"S" + long(b"x" * 100_000))])}),
        ("ten-thousand-headers", "out",
         {"headers": table([(f"{n:04}", b"t\x01") for n in range(10_000)])}),
    ]  # fmt: skip
    for name, where, properties in cases:
        yield name, where, {**base, **properties}
        yield "neighbour-of-" + name, "out", base


def changed():
    """(name, properties that go in, properties that must come out) of a pass-through."""
    base = {"delivery_mode": b"\x02"}

    def headers(*entries):
        return {**base, "headers": table(entries)}

    one, two = b"I\0\0\0\x01", b"I\0\0\0\x02"
    long_long = b"\0" * 7 + b"\x07"
    copies = b"A" + long(b"S" + long("elsewhere"))
    yield "duplicate-names", headers(("h", one), ("h", two)), headers(("h", one))
    inner = b"F" + table([("k", one), ("k", two)])
    yield "duplicate-inner-names", headers(("t", inner)), headers(("t", b"F" + table([("k", one)])))
    yield "order", headers(("b", one), ("a", two)), headers(("a", two), ("b", one))
    yield "tag-L", headers(("h", b"L" + long_long)), headers(("h", b"l" + long_long))
    yield "boolean-2", headers(("h", b"t\x02")), headers(("h", b"t\x01"))
    yield "CC", headers(("CC", copies), ("h", one)), headers(("h", one))
    yield "BCC", headers(("BCC", copies), ("h", one)), headers(("h", one))
    yield "user-id", {**base, "user_id": short("guest")}, base
    direct = short("amq.rabbitmq.reply-to.g1h2AA")
    yield "ordinary-reply-to", {**base, "reply_to": short("answers")}, {**base, "reply_to": short("answers")}
    yield "direct-reply-to", {**base, "reply_to": direct}, base
    yield "transient", {"delivery_mode": b"\x01"}, base
    yield "no-delivery-mode", {}, base
    yield "lockgate-id", headers(("lockgate-id", b"S" + long("forged")), ("h", one)), headers(("h", one))
    yield "empty-headers", headers(), base


def nested_arrays(depth):
    inner = b"t\x01"
    for _ in range(depth):
        inner = b"A" + long(inner)
    return inner


# --- actions --------------------------------------------------------------------------------


def send(url, exchange, key, out, cases):
    """Publishes (name, where, properties); the body carries the name."""
    link = Raw(url)
    link.confirm_mode()
    if cases == "hostile":
        cases = hostile(link.frame_max)
    else:
        cases = ((name, "out", properties) for name, properties in types())
    with open(out, "w", encoding="utf-8") as lines:
        for name, where, properties in cases:
            body = f"case:{name}".encode()
            header = content_header(len(body), properties)
            try:
                link.publish(exchange, key, header, body)
            except Closed as why:
                sys.exit(f"the broker refuses {name}: {why}")
            record = {"name": name, "where": where, "header": header.hex(), "body": lab.pack(body)}
            lines.write(json.dumps(record) + "\n")
    link.close()


def name_of(text):
    """A name from the command line, as bytes."""
    return bytes.fromhex(text[4:]) if text.startswith("hex:") else text.encode()


def send_sized(url, exchange, key, out, sizes):
    """Publishes a message with a header of each size; letters before a size begin its body."""
    link = Raw(url)
    link.confirm_mode()
    with open(out, "w", encoding="utf-8") as lines:
        for size in sizes:
            digits = size.lstrip("abcdefghijklmnopqrstuvwxyz")
            # Class, weight, body size, flags; the table's length; `big`, tag and length; the mode.
            room = int(digits) - 14 - 4 - 4 - 5 - 1
            big = table([("big", b"S" + long(b"x" * room))])
            for name, properties in [
                (f"{size}", {"headers": big, "delivery_mode": b"\x02"}),
                (f"neighbour-of-{size}", {"delivery_mode": b"\x02"}),
            ]:
                prefix = size.removesuffix(digits) if name == size else ""
                body = f"{prefix}case:{name}".encode()
                header = content_header(len(body), properties)
                assert name != size or len(header) == int(digits), (len(header), size)
                link.publish(exchange, key, header, body)
                lines.write(json.dumps({"name": name, "header": header.hex()}) + "\n")
    link.close()


def send_forged(url, exchange, key, out):
    """A message that says of itself what only a dead letter may say; nobody may believe it."""
    forged = [("lockgate-original-expiration", "1"), ("lockgate-original-user-id", "somebody"),
              ("lockgate-original-exchange", "amq.fanout"), ("lockgate-attempts", "many")]  # fmt: skip
    headers = table([(name, b"S" + long(value)) for name, value in forged])
    header = content_header(11, {"headers": headers, "delivery_mode": b"\x02"})
    link = Raw(url)
    link.confirm_mode()
    link.publish(exchange, key, header, b"case:forged")
    with open(out, "w", encoding="utf-8") as lines:
        lines.write(json.dumps({"name": "forged", "header": header.hex()}) + "\n")
    link.close()


def send_changed(url, exchange, key, out):
    link = Raw(url)
    link.confirm_mode()
    with open(out, "w", encoding="utf-8") as lines:
        for name, before, after in changed():
            body = f"case:{name}".encode()
            link.publish(exchange, key, content_header(len(body), before), body)
            record = {"name": name, "header": content_header(len(body), after).hex()}
            lines.write(json.dumps(record) + "\n")
    link.close()


def look(url, queue, count):
    """Takes messages and leaves without settling them: the broker counts a delivery of each."""
    link = Raw(url)
    deadline = time.monotonic() + 60
    while count and time.monotonic() < deadline:
        if link.get(queue, for_good=False) is None:
            time.sleep(0.05)
        else:
            count -= 1
    link.socket.close()
    if count:
        sys.exit(f"{count} messages did not come")


def drain(url, out, count, queues):
    link = Raw(url)
    deadline = time.monotonic() + 90
    taken = 0
    with open(out, "w", encoding="utf-8") as lines:
        while True:
            empty = True
            for queue in queues:
                got = link.get(queue)
                if got is None:
                    continue
                empty = False
                taken += 1
                exchange, key = (name.hex() for name in link.names)
                record = {
                    "queue": queue, "header": got[0].hex(), "body": lab.pack(got[1]),
                    "exchange": exchange, "key": key,
                }  # fmt: skip
                lines.write(json.dumps(record) + "\n")
            if empty:
                if taken >= count or time.monotonic() > deadline:
                    break
                time.sleep(0.05)
    link.close()


def visible(header):
    """A header frame decoded, without what the host adds."""
    found = decode_header(header)
    if "headers" in found:
        found["headers"] = {
            name: value
            for name, value in found["headers"].items()
            if not text(name).lower().startswith(lab.HOST_PREFIX)
        }
        if not found["headers"]:
            del found["headers"]  # an empty table and none are the same to a receiver
    return found


def by_case(records):
    cases = {}
    for record in records:
        body = lab.unpack(record["body"])
        if is_envelope(record):
            _, body = open_envelope(body)
        cases.setdefault(body.decode().partition("case:")[2], []).append(record)
    return cases


def is_envelope(record):
    header = bytes.fromhex(record["header"])
    return text(decode_header(header).get("content_type")) == ENVELOPE


def open_envelope(body):
    """(raw header frame, original body) of an envelope."""
    size = struct.unpack(">I", body[:4])[0]
    return body[4 : 4 + size], body[4 + size :]


def compare(sent, received):
    """Prints what is wrong, one case a line, as JSON."""
    came = by_case(lab.read_lines(received))
    wrong = []
    for record in lab.read_lines(sent):
        name = record["name"]
        copies = came.pop(name, [])
        if len(copies) != 1:
            wrong.append(f"{name}: came {len(copies)} times")
            continue
        before = visible(bytes.fromhex(record["header"]))
        after = visible(bytes.fromhex(copies[0]["header"]))
        if before != after:
            wrong.append(f"{name}: {json.dumps(after)} instead of {json.dumps(before)}"[:600])
        if copies[0]["body"] != record["body"]:
            wrong.append(f"{name}: another body")
    wrong.extend(f"{name}: never sent" for name in came)
    print(json.dumps(wrong))


def fit(sent, received, frame_max):
    """As `compare`, for `sized`: the frames are measured."""
    came = by_case(lab.read_lines(received))
    wrong, enveloped, plain = [], [], []
    for record in lab.read_lines(sent):
        name = record["name"]
        copies = came.pop(name, [])
        if len(copies) != 1:
            wrong.append(f"{name}: came {len(copies)} times")
        for copy in copies:
            frame = len(copy["header"]) // 2 + 8
            if frame > frame_max:
                wrong.append(f"{name}: a frame of {frame} bytes from {copy['queue']}")
            if not name.startswith("neighbour"):
                (enveloped if is_envelope(copy) else plain).append(name)
    wrong.extend(f"{name}: never sent" for name in came)
    print(json.dumps({"wrong": wrong, "enveloped": enveloped, "plain": plain}))


def without_id(header):
    """A content header's bytes, without the host's id; its headers in their order."""
    found = decode_header(header)
    names = [name for name in found.get("headers", {}) if text(name) != "lockgate-id"]
    headers = [(name, found["headers"][name]) for name in names]
    return {**{k: v for k, v in found.items() if k != "headers"}, **({"headers": headers} if headers else {})}


def raw_tags(header):
    """The tags as they are on the wire, `L` and `U` too."""
    saved = ALIAS.copy()
    ALIAS.clear()
    try:
        return without_id(header)
    finally:
        ALIAS.update(saved)


def differ(sent, received):
    """Prints what did not come out as it must, one case a line, as JSON."""
    came = by_case(lab.read_lines(received))
    wrong = []
    for record in lab.read_lines(sent):
        name = record["name"]
        copies = came.pop(name, [])
        if len(copies) != 1:
            wrong.append(f"{name}: came {len(copies)} times")
            continue
        header = bytes.fromhex(copies[0]["header"])
        must, is_now = raw_tags(bytes.fromhex(record["header"])), raw_tags(header)
        if must != is_now:
            wrong.append(f"{name}: {json.dumps(is_now)} instead of {json.dumps(must)}"[:600])
        ids = decode_header(header).get("headers", {}).get(b"lockgate-id".hex())
        if ids is None or text(ids[1]) == "forged":
            wrong.append(f"{name}: the id is {ids}")
    wrong.extend(f"{name}: never sent" for name in came)
    print(json.dumps(wrong))


def judge(sent, received, dead_queue):
    """As `compare`, for hostile messages: the outlet is checked, and the envelope's content."""
    came = by_case(lab.read_lines(received))
    wrong = []
    for record in lab.read_lines(sent):
        name, where = record["name"], record["where"]
        copies = came.pop(name, [])
        if len(copies) != 1:
            wrong.append(f"{name}: came {len(copies)} times")
            continue
        copy = copies[0]
        dead = copy["queue"] == dead_queue
        if dead != (where == "envelope"):
            wrong.append(f"{name}: came to {copy['queue']}")
        elif dead and not is_envelope(copy):
            wrong.append(f"{name}: is dead-lettered without an envelope")
        elif dead:
            header, _ = open_envelope(lab.unpack(copy["body"]))
            if header.hex() != record["header"]:
                wrong.append(f"{name}: the envelope holds another header frame")
        elif visible(bytes.fromhex(copy["header"])) != visible(bytes.fromhex(record["header"])):
            wrong.append(f"{name}: its header changed")
    wrong.extend(f"{name}: never sent" for name in came)
    print(json.dumps(wrong))


def main():
    match sys.argv[1:]:
        case ["compare", sent, received]:
            compare(sent, received)
        case ["judge", sent, received, dead_queue]:
            judge(sent, received, dead_queue)
        case ["fit", sent, received, frame_max]:
            fit(sent, received, int(frame_max))
        case ["differ", sent, received]:
            differ(sent, received)
        case [url, ("types" | "hostile") as what, exchange, key, out]:
            send(url, name_of(exchange), name_of(key), out, what)
        case [url, "sized", exchange, key, out, *sizes] if sizes:
            send_sized(url, name_of(exchange), name_of(key), out, sizes)
        case [url, "forged", exchange, key, out]:
            send_forged(url, name_of(exchange), name_of(key), out)
        case [url, "changed", exchange, key, out]:
            send_changed(url, name_of(exchange), name_of(key), out)
        case [url, "look", queue, count]:
            look(url, queue, int(count))
        case [url, "drain", out, count, *queues] if queues:
            drain(url, out, int(count), queues)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
