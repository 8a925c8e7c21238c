"""What the tools share: connecting, message variety, and one comparable form for AMQP values."""

import base64
import datetime
import decimal
import hashlib
import json
import random

import pika

# What the host adds to a message on its way: not part of what must come out unchanged.
HOST_PREFIX = "lockgate-"
# What the chameleon plugin does wrong by the first letter of a body: the reason of the dead letter.
POISON = {
    "t": "trap",
    "l": "deadline",
    "m": "memory",
    "r": "stack",
    "x": "bad_output",
    "s": "bad_output",
    "g": "bad_output",
    "o": "bad_output",
    "b": "output_too_large",
}


def connect(url):
    """A blocking connection that reports a dead broker at once instead of trying again."""
    parameters = pika.URLParameters(url)
    parameters.connection_attempts = 1
    parameters.socket_timeout = 10
    parameters.heartbeat = 10  # a request that a stopping broker forgets must not wait for ever
    parameters.blocked_connection_timeout = 60
    try:
        return pika.BlockingConnection(parameters)
    except pika.adapters.utils.connection_workflow.AMQPConnectorException as error:
        # A broker that accepts and does not answer: not one of the errors that pika promises.
        raise pika.exceptions.AMQPConnectionError(repr(error)) from error


def canon(value):
    """A value with its AMQP type, as JSON can hold it. Integers are compared as numbers: pika
    picks their width, and reads the signed 64-bit type as unsigned."""
    if value is None:
        return {"void": True}
    if isinstance(value, bool):
        return {"bool": value}
    if isinstance(value, int):
        return {"int": value if -(2**31) <= value < 2**31 else value % 2**64}
    if isinstance(value, float):
        return {"float": value.hex()}
    if isinstance(value, decimal.Decimal):
        return {"decimal": str(value.normalize())}
    if isinstance(value, datetime.datetime):
        utc = value.replace(tzinfo=datetime.timezone.utc)
        return {"timestamp": int(utc.timestamp())}
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, str):
        return {"text": value}
    if isinstance(value, list):
        return {"array": [canon(item) for item in value]}
    if isinstance(value, dict):
        return {"table": {name: canon(item) for name, item in value.items()}}
    raise TypeError(type(value))


PROPERTIES = [
    "content_type", "content_encoding", "delivery_mode", "priority", "correlation_id",
    "reply_to", "expiration", "message_id", "timestamp", "type", "user_id", "app_id",
    "cluster_id",
]


def canon_properties(properties):
    """All properties that are set, and the headers, as plain JSON."""
    plain = {}
    for name in PROPERTIES:
        value = getattr(properties, name)
        if value is not None:
            plain[name] = value.hex() if isinstance(value, bytes) else value
    headers = {}
    for name, value in (properties.headers or {}).items():
        if isinstance(name, bytes):
            name = "hex:" + name.hex()
        headers[name] = canon(value)
    return {"properties": plain, "headers": headers}


def plain(value):
    """The value that a form of canon stands for."""
    ((kind, value),) = value.items()
    if kind == "void":
        return None
    if kind == "bytes":
        return bytes.fromhex(value)
    if kind == "timestamp":
        return datetime.datetime.fromtimestamp(value, datetime.timezone.utc).replace(tzinfo=None)
    if kind == "array":
        return [plain(item) for item in value]
    if kind == "table":
        return {name: plain(item) for name, item in value.items()}
    return value


def properties_of(record):
    """The properties that canon_properties would make `record` of."""
    headers = {name: plain(value) for name, value in record["headers"].items()}
    return pika.BasicProperties(headers=headers, **record["properties"])


def varied(run, seq, key, body, seed=0):
    """Properties of message `seq`: always its identity and checksum, the rest differs from
    message to message, so that a few hundred cover every type in every place."""
    dice = random.Random(f"{seed}/{run}/{seq}")
    headers = {"x-run": run, "x-seq": seq, "x-sha256": hashlib.sha256(body).hexdigest()}
    pool = samples(dice)
    for name in dice.sample(sorted(pool), dice.randrange(0, 7)):
        headers[name] = pool[name]
    optional = {
        "content_type": dice.choice(["application/json", "text/plain; charset=utf-8", "x/ü"]),
        "content_encoding": "identity",
        "priority": dice.randrange(0, 10),
        "correlation_id": f"c-{seq}",
        "reply_to": "answers.here",
        "expiration": "86400000",
        "timestamp": 1_700_000_000 + seq,
        "type": "order.created",
        "app_id": "shop ✓",
        "cluster_id": "c1",
    }
    chosen = {name: optional[name] for name in optional if dice.random() < 0.5}
    return pika.BasicProperties(
        headers=headers, message_id=f"{run}-{seq}", delivery_mode=2, **chosen
    )


def samples(dice):
    """One header of each kind that pika can write."""
    moment = datetime.datetime(2024, 2, 29, 12, 30, 15)
    return {
        "x-empty": "",
        "x-text": "grün – 絵文字 🐇",
        "x-long-text": "z" * dice.randrange(256, 3000),
        "x-true": True,
        "x-false": False,
        "x-zero": 0,
        "x-int": dice.randrange(-(2**31), 2**31),
        "x-long": dice.randrange(2**31, 2**63),
        "x-negative-long": -dice.randrange(2**31 + 1, 2**63),
        "x-decimal": decimal.Decimal("3.14159"),
        "x-negative-decimal": decimal.Decimal("-12.5"),
        "x-whole-decimal": decimal.Decimal(42),
        "x-moment": moment,
        "x-epoch": datetime.datetime(1970, 1, 1),
        "x-void": None,
        "x-bytes": bytes(range(256)),
        "x-no-bytes": b"",
        "x-array": [1, "two", None, [3, [4, []]], {"five": True}],
        "x-empty-array": [],
        "x-table": {"a": {"b": {"c": [moment, decimal.Decimal("0.01"), b"\x00\xff"]}}, "": ""},
        "x-empty-table": {},
        "x-name-of-" + "n" * 200: 1,
    }


def pack(body):
    return base64.b64encode(body).decode("ascii")


def unpack(text):
    return base64.b64decode(text)


def read_lines(path):
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]
