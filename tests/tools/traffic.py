"""Publishes and consumes for the chaos run with pika, through all that happens to the broker.

  traffic.py URL publish           each line of stdin is a block of messages, as JSON: a list of
                                   {queue, body, properties, headers}. They are published as one
                                   transaction, and `confirmed` or `unknown` is answered.
  traffic.py URL consume QUEUE…    a line of JSON for each delivery: {queue, key, redelivered, body,
                                   properties, headers}; each byte of the body is one character

Properties and headers have the form of lab.canon_properties.
"""

import json
import select
import sys
import time

import pika.exceptions

import lab

# Whatever it is, the broker is away or on its way back.
AWAY = (pika.exceptions.AMQPError, OSError)
AGAIN = 0.02
PREFETCH = 1000


def publisher(url):
    """A transactional channel, however long that takes."""
    while True:
        try:
            channel = lab.connect(url).channel()
            channel.tx_select()
            return channel
        except AWAY:
            time.sleep(AGAIN)


def put(channel, block):
    for message in block:
        properties = lab.properties_of(message)
        channel.basic_publish("", message["queue"], message["body"].encode(), properties)
    channel.tx_commit()


def alive(channel):
    """Answers heartbeats; whether the connection is still there."""
    try:
        channel.connection.process_data_events(time_limit=0)
        return channel.is_open
    except AWAY:
        return False


def publish(url):
    channel = publisher(url)
    while True:
        # A line comes whole, and the next one only after its answer.
        while not select.select([sys.stdin], [], [], 1)[0]:
            if not alive(channel):
                channel = publisher(url)
        line = sys.stdin.readline()
        if not line:
            return
        if not alive(channel):
            channel = publisher(url)
        try:
            put(channel, json.loads(line))
            print("confirmed", flush=True)
        except AWAY:
            print("unknown", flush=True)
            channel = publisher(url)


def consume_once(url, queues):
    connection = lab.connect(url)
    channel = connection.channel()
    channel.basic_qos(prefetch_count=PREFETCH)
    last = None

    def take(queue):
        def on_message(_channel, method, properties, body):
            nonlocal last
            record = lab.canon_properties(properties)
            record.update(
                queue=queue,
                key=method.routing_key,
                redelivered=method.redelivered,
                body=body.decode("latin-1"),
            )
            print(json.dumps(record))
            last = method.delivery_tag

        return on_message

    for queue in queues:
        channel.basic_consume(queue, take(queue))
    while channel.is_open:
        connection.process_data_events(time_limit=0.05)
        if last is not None:
            sys.stdout.flush()
            channel.basic_ack(last, multiple=True)
            last = None


def consume(url, queues):
    while True:
        try:
            consume_once(url, queues)
        except BrokenPipeError:
            return
        except AWAY:
            pass
        time.sleep(AGAIN)


def main():
    url, action, *queues = sys.argv[1:]
    if action == "publish":
        publish(url)
    elif action == "consume":
        consume(url, queues)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
