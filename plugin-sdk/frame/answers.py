"""What a host reads of a description and of an init result: JSON, and nothing that it does not know.

Written from docs/reference/frame.md alone. `Refused` says why an answer is refused; for an unknown key it
names the key.
"""

import json
import re

from frame import Refused

CONTRACT = (0, 1)
LABEL = re.compile(r"[\x21-\x7e]{1,64}")
REASON = re.compile(r"[a-z][a-z0-9_]{0,47}")


def fields(value, where, known):
    """An object with no other keys than `known`, a dict of key to the check of its value."""
    if not isinstance(value, dict):
        raise Refused(f"{where or 'the answer'} is not an object")
    for key, item in value.items():
        if known is not None and key not in known:
            raise Refused(f"unknown key {key}")
        if known and key in known and not known[key](item):
            raise Refused(f"{key} has the wrong type")
    return value


def text(value):
    return isinstance(value, str)


def boolean(value):
    return isinstance(value, bool)


def number(value):
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 32


def texts(value):
    return isinstance(value, list) and all(map(text, value))


def anything(_):
    return True


def items(value):
    return isinstance(value, list)


DESCRIPTION = {
    "name": text,
    "version": text,
    "contract": text,
    "max_batch": number,
    "capabilities": texts,
    "reasons": texts,
    "settings_schema": anything,
    "samples": items,
}
OK = {"needs": lambda it: it is None or isinstance(it, dict), "routes": texts, "unrouted": boolean}
NEEDS = {
    "origin": boolean,
    "properties": boolean,
    "headers": lambda it: boolean(it) or texts(it),
    "body": lambda it: boolean(it) or number(it),
}
ERROR = {"pointer": text, "offset": lambda it: it is None or number(it), "message": text}


def once(pairs):
    keys = [key for key, _ in pairs]
    for key in keys:
        if keys.count(key) > 1:
            raise Refused(f"{key} stands there twice")
    return dict(pairs)


def load(answer):
    try:
        return json.loads(answer, object_pairs_hook=once)
    except ValueError as error:
        raise Refused(str(error)) from error


def read_description(answer):
    value = load(answer)
    stated = value.get("contract") if isinstance(value, dict) else None
    version = re.fullmatch(r"(\d{1,5})\.(\d{1,5})", stated) if text(stated) else None
    if version and not (int(version[1]) == CONTRACT[0] and int(version[2]) <= CONTRACT[1]):
        # A later contract may have other keys; that it is not spoken here is said elsewhere.
        return value
    value = fields(value, "", DESCRIPTION)
    for key in ("name", "version", "contract"):
        if key not in value:
            raise Refused(f"{key} is missing")
    if not version:
        raise Refused("contract is not major.minor")
    if not (LABEL.fullmatch(value["name"]) and LABEL.fullmatch(value["version"])):
        raise Refused("name or version is no label")
    if value.get("max_batch", 1) == 0:
        raise Refused("max_batch is 0")
    reasons = value.get("reasons", [])
    if len(reasons) > 64 or not all(map(REASON.fullmatch, reasons)):
        raise Refused("a reason is no word, or there are more than 64")
    return value


def read_init(answer):
    value = fields(load(answer), "", {"ok": anything, "err": items})
    if len(value) != 1:
        raise Refused("neither ok nor err, or both")
    if "ok" in value:
        ok = fields(value["ok"], "ok", OK)
        fields(ok.get("needs") or {}, "needs", NEEDS)
    for error in value.get("err", []):
        if "message" not in fields(error, "err", ERROR):
            raise Refused("message is missing")
    return value
