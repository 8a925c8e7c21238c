"""The vectors of answers.json: descriptions and init results, good ones and one of each slip."""


def good(answer, name, about, text):
    return {"name": name, "about": about, "answer": answer, "text": text, "refused": None}


def slip(answer, name, about, text, key=None, nearest=None):
    vector = {"name": name, "about": about, "answer": answer, "text": text, "refused": about}
    if key:
        vector["key"] = key
    if nearest:
        vector["nearest"] = nearest
    return vector


HEAD = '"name":"a","version":"1","contract":"0.1"'


def descriptions():
    def described(fields):
        return "{" + HEAD + "," + fields + "}"

    what = "description"
    yield good(what, "least", "what is required", "{" + HEAD + "}")
    yield good(
        what,
        "everything",
        "every key, in the order that the Rust SDK writes",
        '{"name":"all","version":"1.2.3","contract":"0.1","max_batch":4294967295,"capabilities":["clock","random"],'
        '"reasons":["a","b_2"],"settings_schema":{ "type": "object" },"samples":[{"body":"x"}]}',
    )
    yield good(what, "later-contract", "a newer contract may have added keys", '{"name":"a","version":"1","contract":"0.2","lease":5}')
    for key, nearest in (
        ("max_bach", "max_batch"),
        ("capability", "capabilities"),
        ("reason", "reasons"),
        ("settings-schema", "settings_schema"),
        ("Samples", "samples"),
        ("author", None),
    ):
        yield slip(what, f"unknown-{key}", "a key that the contract does not have", described(f'"{key}":[]'), key, nearest)
    yield slip(what, "twice", "a key twice", described('"max_batch":1,"max_batch":2'), "max_batch")
    yield slip(what, "twice-deep", "a key twice, in the schema", described('"settings_schema":{"a":1,"a":2}'), "a")
    yield slip(what, "no-version", "a required key is missing", '{"name":"a","contract":"0.1"}', "version")
    for key, value in (
        ("max_batch", '"64"'),
        ("max_batch", "-1"),
        ("max_batch", "1.5"),
        ("max_batch", "0"),
        ("reasons", '"spam"'),
        ("reasons", "[1]"),
        ("capabilities", "{}"),
        ("samples", '"x"'),
    ):
        yield slip(what, f"wrong-{key}-{value}", "a value of another type", described(f'"{key}":{value}'), key)
    yield slip(what, "no-object", "not an object", "[]")
    yield slip(what, "no-json", "not JSON", "{name:1}")


def inits():
    what = "init"
    yield good(what, "init-nothing", "nothing is needed", '{"ok":{}}')
    yield good(
        what,
        "init-everything",
        "every key",
        '{"ok":{"needs":{"origin":true,"properties":false,"headers":["x-tenant"],"body":4096},"routes":["eu","rest"],"unrouted":false}}',
    )
    yield good(what, "init-refused-settings", "what is wrong with the settings", '{"err":[{"pointer":"/when","offset":12,"message":"m"},{"message":"n"}]}')
    yield slip(what, "init-neither", "neither ok nor err", "{}")
    yield slip(what, "init-both", "both ok and err", '{"ok":{},"err":[]}')
    yield slip(what, "init-need", "an unknown key: all needs would be lost", '{"ok":{"need":{"headers":true}}}', "need", "needs")
    yield slip(what, "init-route", "an unknown key", '{"ok":{"route":["eu"]}}', "route", "routes")
    yield slip(what, "init-okay", "an unknown key", '{"okay":{}}', "okay")
    yield slip(what, "needs-header", "an unknown key", '{"ok":{"needs":{"header":true}}}', "header", "headers")
    yield slip(what, "needs-payload", "an unknown key", '{"ok":{"needs":{"payload":true}}}', "payload")
    yield slip(what, "err-msg", "an unknown key", '{"err":[{"messages":"m"}]}', "messages", "message")
    yield slip(what, "init-twice", "a key twice", '{"ok":{"needs":{},"needs":{"body":true}}}', "needs")
    yield slip(what, "needs-twice", "a key twice", '{"ok":{"needs":{"body":true,"body":false}}}', "body")
    yield slip(what, "unrouted-text", "a value of another type", '{"ok":{"unrouted":"yes"}}', "unrouted")
    yield slip(what, "routes-text", "a value of another type", '{"ok":{"routes":"eu"}}', "routes")
    yield slip(what, "body-text", "a value of another type", '{"ok":{"needs":{"body":"all"}}}', "body")
    yield slip(what, "err-text", "a value of another type", '{"err":"no"}', "err")
    yield slip(what, "err-no-message", "a required key is missing", '{"err":[{"pointer":"/a"}]}', "message")


def vectors():
    return [*descriptions(), *inits()]
