"""Orders as the `orders` pipeline takes them, and where each must come out.

The expectation is computed here, from the documented meaning of the pipeline, with none of its
code: unpaid orders are filtered, notes that are spam go to quarantine, the rest gets a total and
goes by its region. The notes are clear cases, so that no threshold decides about them.
"""

import json
import random

HAM = [
    "",
    "Please leave the parcel with the neighbour on the second floor.",
    "Ring twice, the bell is a bit slow. Thanks!",
    "It is a birthday present for my sister, could you wrap it?",
    "Deliver after five in the evening, I am at work before that.",
    "Same address as last time, but the gate code has changed to 4711.",
    "Could you add the invoice to the box? My office needs it.",
    "I think I ordered the wrong size, will call you tomorrow about it.",
]

SPAM = [
    "WINNER!! You have been selected to receive a £900 prize reward! "
    "To claim call 09061701461. Claim code KL341. Valid 12 hours only.",
    "URGENT! You have won a 1 week FREE membership in our £100,000 Prize Jackpot! "
    "Txt the word: CLAIM to No: 81010 T&C www.dbuk.net LCCLTD POBOX 4403LDNW1A7RW18",
    "FREE entry in 2 a wkly comp to win FA Cup final tkts 21st May 2005. "
    "Text FA to 87121 to receive entry question(std txt rate)",
    "Congratulations ur awarded 500 of CD vouchers or 125gift guaranteed & "
    "Free entry 2 100 wkly draw txt MUSIC to 87066",
]

REGIONS = ["EU", "US", "APAC", "LATAM"]


def body(seq, seed=0):
    """The body of order `seq`, as bytes."""
    dice = random.Random(f"{seed}/{seq}")
    order = {
        "id": seq,
        "status": dice.choice(["paid", "paid", "paid", "open", "cancelled"]),
        "region": dice.choice(REGIONS),
        "price": dice.randrange(1, 100_000),
        "quantity": dice.randrange(1, 50),
        "note": dice.choice(SPAM) if dice.random() < 0.1 else dice.choice(HAM),
        "customer": {"name": dice.choice(["Zoë", "Bob", "李雷"]), "tags": ["a", {"b": None}]},
    }
    return json.dumps(order, ensure_ascii=dice.random() < 0.5).encode("utf-8")


def expected(content):
    """(outlet, body) for a body as sent; the outlet is None where nothing must come out."""
    order = json.loads(content)
    if order["status"] != "paid":
        return None, None
    if order["note"] in SPAM:
        return "quarantine", order
    order["total"] = order["price"] * order["quantity"]
    return ("eu" if order["region"] == "EU" else "rest"), order


def has_text(content):
    """Whether there is a note to judge."""
    return bool(json.loads(content)["note"])
