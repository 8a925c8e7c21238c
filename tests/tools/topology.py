"""Declares, counts and deletes on a broker.

  topology.py URL declare < JSON   {"queues": {name: arguments}, "exchanges": {name: type},
                                    "bindings": [[exchange, queue, key]]}, all durable
  topology.py URL depth QUEUE…     {queue: messages ready}
  topology.py URL consumers QUEUE… {queue: consumers}
  topology.py URL watch QUEUE      a line `time depth` on each change, until killed
  topology.py URL delete QUEUE…    deletes queues
  topology.py URL delete-exchange EXCHANGE…
  topology.py URL publish KEY      one message from stdin through the default exchange
"""

import json
import sys
import time

import pika
import pika.exceptions

import lab


def declare(channel, plan):
    for name, kind in plan.get("exchanges", {}).items():
        channel.exchange_declare(name, kind, durable=True)
    for name, arguments in plan.get("queues", {}).items():
        channel.queue_declare(name, durable=True, arguments=arguments)
    for exchange, queue, key in plan.get("bindings", []):
        channel.queue_bind(queue, exchange, key)


def depth(channel, queue):
    return channel.queue_declare(queue, passive=True).method.message_count


def watch(url, queue):
    last = None
    while True:
        try:
            connection = lab.connect(url)
            channel = connection.channel()
            while True:
                now = depth(channel, queue)
                if now != last:
                    print(f"{time.time():.3f} {now}", flush=True)
                    last = now
                connection.sleep(0.01)
        except (pika.exceptions.AMQPError, OSError):
            time.sleep(0.05)


def main():
    url, action, *names = sys.argv[1:]
    if action == "watch":
        watch(url, names[0])
    connection = lab.connect(url)
    channel = connection.channel()
    if action == "declare":
        declare(channel, json.load(sys.stdin))
    elif action == "depth":
        print(json.dumps({name: depth(channel, name) for name in names}))
    elif action == "consumers":
        counts = {n: channel.queue_declare(n, passive=True).method.consumer_count for n in names}
        print(json.dumps(counts))
    elif action == "delete":
        for name in names:
            channel.queue_delete(name)
    elif action == "delete-exchange":
        for name in names:
            channel.exchange_delete(name)
    elif action == "publish":
        properties = pika.BasicProperties(delivery_mode=2)
        channel.confirm_delivery()
        channel.basic_publish("", names[0], sys.stdin.buffer.read(), properties, mandatory=True)
    else:
        sys.exit(__doc__)
    connection.close()


if __name__ == "__main__":
    main()
