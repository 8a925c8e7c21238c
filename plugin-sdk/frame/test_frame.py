#!/usr/bin/env python3
"""The reference codec against itself: the vectors, every cut of them, and random damage."""

import json
import random
import unittest
from pathlib import Path

from answers import read_description, read_init
from frame import Refused, decode_batch, decode_output, encode_batch, encode_output, pack

FOLDER = Path(__file__).resolve().parent / "vectors"


def load(name):
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))["vectors"]


def batch_result(data):
    try:
        return decode_batch(data)
    except Refused as why:
        return {"refused": str(why)}


def cuts(data):
    """Proper prefixes: all of a short one, a spread of a long one."""
    return range(0, len(data), 1 + len(data) // 2000)


class Frame(unittest.TestCase):
    def test_batches(self):
        for vector in load("batches"):
            data = bytes.fromhex(vector["bytes"])
            self.assertEqual(batch_result(data), vector["expect"], vector["name"])
            if encode := vector.get("encode"):
                self.assertEqual(encode_batch(**encode), data, vector["name"])

    def test_outputs(self):
        for vector in load("outputs"):
            data = bytes.fromhex(vector["bytes"])
            verdicts = decode_output(data, vector["count"], vector["reasons"])
            self.assertEqual(verdicts, vector["expect"], vector["name"])
            if vector["canonical"]:
                self.assertEqual(encode_output(verdicts, vector["reasons"]), data, vector["name"])

    def test_answers(self):
        for vector in load("answers"):
            read = read_description if vector["answer"] == "description" else read_init
            if vector["refused"] is None:
                read(vector["text"])
                continue
            with self.assertRaises(Refused, msg=vector["name"]) as caught:
                read(vector["text"])
            self.assertIn(vector.get("key", ""), str(caught.exception), vector["name"])

    def test_cut_batches(self):
        for vector in load("batches"):
            data = bytes.fromhex(vector["bytes"])
            if "encode" not in vector or len(data) > 5000:
                continue
            count = len(vector["expect"]["messages"])
            offsets = [int.from_bytes(data[24 + 4 * i : 28 + 4 * i], "little") for i in range(count)]
            ends = [*offsets[1:], len(data)]
            for cut in cuts(data):
                self.assertIn("refused", batch_result(data[:cut]))
                patched = data[:12] + pack("I", cut) + data[16:cut] if cut >= 16 else data[:cut]
                result = batch_result(patched)
                if cut < 24 + 4 * count:
                    self.assertIn("refused", result, (vector["name"], cut))
                    continue
                whole = ["refused" not in message for message in result["messages"]]
                self.assertEqual(whole, [end <= cut for end in ends], (vector["name"], cut))

    def test_cut_outputs(self):
        for vector in load("outputs"):
            if not vector["canonical"]:
                continue
            data = bytes.fromhex(vector["bytes"])
            for cut in cuts(data):
                for prefix in (data[:cut], data[:12] + pack("I", cut) + data[16:cut]):
                    for verdict in decode_output(prefix, vector["count"], vector["reasons"]):
                        self.assertEqual(verdict["verdict"], "fault", (vector["name"], cut))

    def test_damage(self):
        """Whatever the bytes, the codec answers and does not raise anything but Refused."""
        rng = random.Random(1)
        batches = [bytes.fromhex(vector["bytes"]) for vector in load("batches")]
        outputs = [bytes.fromhex(vector["bytes"]) for vector in load("outputs")]
        for _ in range(5000):
            batch_result(damaged(rng, rng.choice(batches)[:4000]))
            decode_output(damaged(rng, rng.choice(outputs)[:4000]), 3, ["a"])


def damaged(rng, data):
    data = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        if data:
            data[rng.randrange(len(data))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    if len(data) >= 16 and rng.random() < 0.9:
        data[12:16] = pack("I", len(data))
    return bytes(data)


if __name__ == "__main__":
    unittest.main()
