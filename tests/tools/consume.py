"""Drains queues with pika into JSON lines, one a message, with all its properties.

Ends when `--expect` messages are there and nothing more comes for `--idle` seconds (so that a
doubled message is seen too), or when nothing at all comes for `--patience` seconds.
"""

import argparse
import json
import time

import lab


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--queue", action="append", required=True, help="may be given repeatedly")
    parser.add_argument("--expect", type=int, required=True, help="messages in all queues together")
    parser.add_argument("--idle", type=float, default=1.0)
    parser.add_argument("--patience", type=float, default=60)
    parser.add_argument("--out", required=True)
    return parser.parse_args()


def main():
    options = arguments()
    connection = lab.connect(options.url)
    channel = connection.channel()
    counts = dict.fromkeys(options.queue, 0)
    seen = set()
    last = time.monotonic()
    with open(options.out, "w", encoding="utf-8") as out:

        def take(queue):
            def on_message(_channel, method, properties, body):
                nonlocal last
                last = time.monotonic()
                counts[queue] += 1
                headers = properties.headers or {}
                # Doubles of one message are one of those expected.
                seen.add((headers.get("x-run"), headers.get("x-seq", sum(counts.values()))))
                record = lab.canon_properties(properties)
                record.update(
                    queue=queue,
                    exchange=method.exchange,
                    key=method.routing_key,
                    redelivered=method.redelivered,
                    body=lab.pack(body),
                )
                out.write(json.dumps(record) + "\n")

            return on_message

        for queue in options.queue:
            channel.basic_consume(queue, take(queue), auto_ack=True)
        while True:
            connection.process_data_events(time_limit=0.1)
            idle = time.monotonic() - last
            done = len(seen) >= options.expect
            if idle > (options.idle if done else options.patience):
                break
    connection.close()
    print(json.dumps(counts))


if __name__ == "__main__":
    main()
