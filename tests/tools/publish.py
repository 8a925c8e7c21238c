"""Publishes numbered messages with pika and writes what it sent as JSON lines.

Uses transactions: one commit for a block is as safe as a confirm each, and fast. When a commit
fails (the broker went away), nobody knows whether it took effect: the block is sent again and
its numbers are recorded as `maybe_twice`, so that the ledger does not blame the host for them.
"""

import argparse
import json
import random
import time

import pika.exceptions

import lab
import orders


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--exchange", default="")
    parser.add_argument("--key", required=True, help="routing key")
    parser.add_argument("--run", required=True, help="names this run in every message")
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--kind", choices=["varied", "orders", "small", "letters", "pages", "large"], default="varied")
    parser.add_argument("--size", type=int, default=4_000_000, help="bytes of a large body")
    parser.add_argument("--rate", type=float, default=0, help="messages a second; 0: no limit")
    parser.add_argument("--block", type=int, default=200, help="messages a transaction")
    parser.add_argument("--bad-key", help="routing key of every tenth message")
    parser.add_argument("--seed", default="0")
    parser.add_argument("--out", required=True, help="file for what was sent")
    parser.add_argument("--patience", type=float, default=120, help="seconds without a broker")
    parser.add_argument("--same-priority", action="store_true", help="whatever the order depends on")
    return parser.parse_args()


def body(options, seq):
    if options.kind == "orders":
        return orders.body(seq, options.seed)
    if options.kind == "letters":
        # One in forty tells the chameleon plugin to do harm.
        poison = list(lab.POISON)[seq // 40 % len(lab.POISON)]
        return b"%s%d" % ((poison if seq % 40 == 39 else "p").encode(), seq)
    if options.kind == "pages":
        return b"%08d" % seq * 512
    if options.kind == "large":
        return b"%08d" % seq * (options.size // 8)
    dice = random.Random(f"{options.seed}/body/{seq}")
    if options.kind == "small":
        return b'{"seq":%d,"fill":"%s"}' % (seq, b"x" * dice.randrange(0, 200))
    size = dice.choice([0, 1, 7, 300, 1024, 1024, 4096, 70_000])
    if seq % 200 == 199:
        size = 300_000  # more than two frames
    return dice.randbytes(size)


def block(options, numbers):
    made = []
    for seq in numbers:
        key = options.bad_key if options.bad_key and seq % 10 == 3 else options.key
        content = body(options, seq)
        properties = lab.varied(options.run, seq, key, content, options.seed)
        if options.same_priority:
            properties.priority = None
        made.append((seq, key, content, properties))
    return made


def send(options, channel, made):
    for _, key, content, properties in made:
        channel.basic_publish(options.exchange, key, content, properties)
    channel.tx_commit()


def open_channel(options):
    """A transactional channel; waits for the broker to come (back)."""
    deadline = time.monotonic() + options.patience
    while True:
        try:
            connection = lab.connect(options.url)
            channel = connection.channel()
            channel.tx_select()
            return connection, channel
        except (pika.exceptions.AMQPError, OSError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def main():
    options = arguments()
    connection, channel = open_channel(options)
    due = time.monotonic()
    sent = 0
    with open(options.out, "w", encoding="utf-8") as out:
        while sent < options.count:
            numbers = range(sent, min(sent + options.block, options.count))
            made = block(options, numbers)
            maybe_twice = False
            while True:
                try:
                    send(options, channel, made)
                    break
                except (pika.exceptions.AMQPError, OSError):
                    maybe_twice = True
                    connection, channel = open_channel(options)
            for seq, key, content, properties in made:
                record = lab.canon_properties(properties)
                record.update(seq=seq, key=key, body=lab.pack(content), maybe_twice=maybe_twice)
                out.write(json.dumps(record) + "\n")
            out.flush()
            sent = numbers.stop
            print(sent, flush=True)
            if options.rate:
                # What an outage has cost is not made up for: the rate is a limit.
                due = max(due + len(numbers) / options.rate, time.monotonic())
                time.sleep(max(0, due - time.monotonic()))
    connection.close()


if __name__ == "__main__":
    main()
