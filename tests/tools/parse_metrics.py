#!/usr/bin/env python3
"""Reads a scrape of /metrics with the parsers of Prometheus' own Python client.

Takes the address; prints JSON: the content type, the bytes, and for each parser the samples of
each metric. A scrape that a parser refuses ends with its error.
"""

import json
import sys
import urllib.request

from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as text


def main() -> None:
    with urllib.request.urlopen(sys.argv[1], timeout=30) as answer:
        kind = answer.headers["Content-Type"]
        body = answer.read().decode()
    read = {}
    for name, parse in [("openmetrics", openmetrics), ("text", text)]:
        samples = {}
        for family in parse(body):
            for sample in family.samples:
                samples.setdefault(sample.name, []).append([sample.labels, sample.value])
        read[name] = samples
    print(json.dumps({"content_type": kind, "bytes": len(body), **read}))


if __name__ == "__main__":
    main()
