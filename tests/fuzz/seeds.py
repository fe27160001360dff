"""Valid inputs to begin with: what real kernels showed, what memhp ships, what operations leave."""

import io
import json
import tarfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from fuzz.mutation import (
    JUNK,
    NUMBERS,
    PIECES,
    dump,
    mutate_bytes,
    mutate_json,
    mutate_json_lines,
    mutate_text,
)
from fuzz.shrinking import smaller_bytes, smaller_json, smaller_json_lines
from fuzz.target import Shape
from memhp.model.shipped import shipped_machines, shipped_text

TESTS = Path(__file__).parents[1]
TREES = TESTS / "machines" / "linux" / "trees"
RECORDINGS = TESTS / "model" / "trace" / "recordings"
BYTES = Shape(mutate=mutate_bytes, smaller=smaller_bytes)
TEXT = Shape(mutate=mutate_text, smaller=smaller_bytes)
JSON = Shape(mutate=mutate_json, smaller=smaller_json)
JSON_LINES = Shape(mutate=mutate_json_lines, smaller=smaller_json_lines)

words = st.sampled_from([*NUMBERS, *PIECES])
any_bytes = st.binary(max_size=200)
any_text = st.text(max_size=80).map(lambda text: text.encode("utf-8", "surrogatepass"))
any_words = st.lists(words, max_size=12).map(b"".join)
any_json = st.recursive(
    st.sampled_from(JUNK) | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4)
    ),
    max_leaves=12,
).map(dump)


def from_grammar(*pieces: str) -> st.SearchStrategy[bytes]:
    """Texts made of a grammar's own pieces, with numbers at the edge and odd signs among them."""
    known = st.sampled_from([piece.encode() for piece in pieces])
    return st.lists(known | known | known | words, max_size=14).map(b"".join)


@cache
def saved_tree(name: str) -> dict[str, bytes]:
    """The files of a tree saved from a real guest, by path."""
    with tarfile.open(TREES / f"{name}.tar.gz") as archive:
        return {
            member.name.removeprefix("./"): content.read()
            for member in archive
            if member.isfile() and (content := archive.extractfile(member)) is not None
        }


def of_trees(path: str) -> list[bytes]:
    """A file as each saved tree has it."""
    names = sorted(file.name.removesuffix(".tar.gz") for file in TREES.glob("*.tar.gz"))
    return [tree[path] for tree in map(saved_tree, names) if path in tree]


def recordings() -> list[bytes]:
    """Some recordings of each kernel, small ones and of every kind."""
    files = sorted(RECORDINGS.glob("*/*.json"), key=lambda file: (file.stat().st_size, file))
    return [json.dumps(json.loads(file.read_text())).encode() for file in files[:40:2]]


def descriptions() -> list[bytes]:
    """The machines that come with memhp, but for the largest."""
    return [shipped_text(name).encode() for name in shipped_machines() if "16t" not in name]


def archive_of(files: dict[str, bytes]) -> bytes:
    """A ``tar.gz`` of files."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w:gz") as archive:
        for path, content in files.items():
            info = tarfile.TarInfo(path)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return whole.getvalue()


def steps_of(document: Any) -> Iterator[Any]:
    """The steps of a recording without their results."""
    arguments = ("op", "device", "start", "size", "node", "path", "value", "command")
    for step in document["steps"]:
        yield {key: step[key] for key in arguments if key in step}
