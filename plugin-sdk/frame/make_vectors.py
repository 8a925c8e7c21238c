#!/usr/bin/env python3
"""Writes the three files of vectors/; with --check only compares."""

import json
import sys
from pathlib import Path

import answer_vectors
import batch_vectors
import output_vectors

FOLDER = Path(__file__).resolve().parent / "vectors"


def render(vectors):
    """JSON with one vector a line, so that a change shows as the vectors it touches."""
    names = [vector["name"] for vector in vectors]
    assert len(names) == len(set(names)), "two vectors of one name"
    lines = ",\n".join(json.dumps(vector, ensure_ascii=False) for vector in vectors)
    return '{"format": 1, "vectors": [\n' + lines + "\n]}\n"


def main():
    check = sys.argv[1:] == ["--check"]
    if sys.argv[1:] and not check:
        sys.exit("usage: make_vectors.py [--check]")
    FOLDER.mkdir(exist_ok=True)
    modules = {"batches": batch_vectors, "outputs": output_vectors, "answers": answer_vectors}
    for name, module in modules.items():
        path, content = FOLDER / f"{name}.json", render(module.vectors())
        if check:
            if not path.exists() or path.read_text(encoding="utf-8") != content:
                sys.exit(f"{path.name} is not what make_vectors.py writes: run it and look at the diff")
        else:
            path.write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
