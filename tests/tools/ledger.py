"""Compares what was sent with what came out, and says what is lost, doubled, unexpected, corrupted.

Outlets are named `--outlet name=queue`. What must come out where is computed here from the
messages as sent (`--rule`), not by the host:

  pass        every message at `out`, unchanged
  unroutable  as `pass`, but every tenth (its routing key leads nowhere) at `dead`
  forbidden   as `unroutable`, but the host may not publish with that key
  letters     as `pass`, but what tells the chameleon plugin to do harm at `dead`
  orders      as the orders pipeline documents, see orders.py

In `orders` each message that has a note bears the score that spam-check gave it.

Unchanged means: body, routing key, every property, every header with its type. Headers that the
host adds (`lockgate-…`) are left out of the comparison.
"""

import argparse
import json
from collections import Counter, defaultdict

import lab
import orders

SHOWN = 20
# Why a message with the bad key is at `dead`, by rule.
BAD_KEY = {"unroutable": "unroutable", "forbidden": "invalid"}
SCORE = "x-spam-score"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rule", choices=["pass", *BAD_KEY, "letters", "orders"], required=True)
    parser.add_argument("--sent", required=True)
    parser.add_argument("--received", required=True)
    parser.add_argument("--outlet", action="append", required=True, metavar="NAME=QUEUE")
    parser.add_argument("--bad-key", help="the routing key that does not lead to `out`")
    return parser.parse_args()


def expectation(options, record):
    """(outlet or None, body as it must be: bytes, or parsed JSON; reason if dead)"""
    body = lab.unpack(record["body"])
    if options.rule == "orders":
        outlet, order = orders.expected(body)
        return outlet, (body if outlet == "quarantine" else order), None
    if options.rule in BAD_KEY and record["key"] == options.bad_key:
        return "dead", body, BAD_KEY[options.rule]
    if options.rule == "letters" and body[:1].decode() in lab.POISON:
        return "dead", body, lab.POISON[body[:1].decode()]
    return "out", body, None


def own(headers, prefixes):
    """Headers without those that the host added."""
    return {n: v for n, v in headers.items() if not n.lower().startswith(tuple(prefixes))}


def differences(sent, came, body, reason, prefixes):
    """What is wrong with a message that came out where it should."""
    wrong = []
    content = lab.unpack(came["body"])
    if isinstance(body, bytes):
        if content != body:
            wrong.append(f"body of {len(content)} bytes instead of {len(body)}")
    else:
        try:
            if json.loads(content) != body:
                wrong.append("another JSON body")
        except ValueError:
            wrong.append("body is no JSON")
    if not reason and came["key"] != sent["key"]:
        wrong.append(f"routing key {came['key']!r} instead of {sent['key']!r}")
    if reason and came["headers"].get("lockgate-reason") != {"text": reason}:
        wrong.append(f"dead-lettered for {came['headers'].get('lockgate-reason')}")
    for part in ("properties", "headers"):
        before = own(sent[part], prefixes)
        if reason and part == "properties" and "expiration" in before:
            # A dead letter must not expire: the property is kept as a header.
            kept = came["headers"].get("lockgate-original-expiration")
            if kept != {"text": before.pop("expiration")}:
                wrong.append(f"expiration is kept as {kept}")
        after = own(came[part], prefixes)
        for name in sorted(before.keys() | after.keys()):
            if before.get(name) != after.get(name):
                wrong.append(f"{part} {name!r}: {after.get(name)!r} instead of {before.get(name)!r}")
    return wrong


def number(record, run):
    headers = record["headers"]
    if headers.get("x-run") != {"text": run}:
        return None
    return headers.get("x-seq", {}).get("int")


def main():
    options = arguments()
    score = [SCORE] if options.rule == "orders" else []
    prefixes = [lab.HOST_PREFIX, *score]
    queues = dict(pair.split("=", 1)[::-1] for pair in options.outlet)
    sent = lab.read_lines(options.sent)
    run = sent[0]["headers"]["x-run"]["text"]
    came = defaultdict(list)
    strangers = []
    for record in lab.read_lines(options.received):
        seq = number(record, run)
        if seq is None:
            strangers.append(f"{record['queue']}: {record['headers']}")
        else:
            came[seq].append(record)
    lost, doubled, excused, unexpected, corrupted = [], [], [], list(strangers), []
    places = Counter()
    for record in sent:
        seq = record["seq"]
        outlet, body, reason = expectation(options, record)
        places[outlet or "filtered"] += 1
        copies = came.pop(seq, [])
        right = [copy for copy in copies if queues.get(copy["queue"]) == outlet]
        for copy in copies:
            if queues.get(copy["queue"]) != outlet:
                unexpected.append(f"{seq} at {copy['queue']} instead of {outlet}")
        if outlet and not right:
            lost.append(seq)
        if len(right) > 1:
            (excused if record["maybe_twice"] else doubled).append(seq)
        for copy in right:
            wrong = differences(record, copy, body, reason, prefixes)
            if score and orders.has_text(lab.unpack(record["body"])) and SCORE not in copy["headers"]:
                wrong.append("no score")
            if wrong:
                corrupted.append(f"{seq}: " + "; ".join(wrong)[:500])
    unexpected.extend(f"{seq}, never sent" for seq in came)
    report = {
        "sent": len(sent),
        "expected": dict(places),
        "lost": len(lost),
        "doubled": len(doubled),
        "unexpected": len(unexpected),
        "corrupted": len(corrupted),
        "sent_twice": len(excused),
        "examples": {
            "lost": lost[:SHOWN],
            "doubled": doubled[:SHOWN],
            "unexpected": unexpected[:SHOWN],
            "corrupted": corrupted[:SHOWN],
        },
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
