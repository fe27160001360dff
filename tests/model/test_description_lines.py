"""On which line a key of a TOML text stands."""

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memhp.model.description_lines import Path, find_line, format_path

TEXT = '''\
# a comment with [brackets] and = signs
about = "first # no comment"

"quoted key" = 1
'literal.key' = [
    1,  # one ]
    [2, 3],
]
long = """
[node]
memory = "no key" """
other = \'\'\'
a = 1\'\'\'
inline = { a = 1, b = { c = "}" } }
a.b . "c d" = true

[layout]
low = 1
[layout.deep]
low = 2
[[node]]
memory = "1G"
[[node]]
# the second
memory = "2G"
[node.more]
x = 1
[[node.part]]
y = 1
[[node.part]]
y = 2
  [ spaced . "out" ]
z = 1979-05-27T07:32:00Z
'''

PLACES: list[tuple[Path, int | None]] = [
    (("about",), 2),
    (("quoted key",), 4),
    (("literal.key",), 5),
    (("literal.key", 0), 6),
    (("literal.key", 1, 1), 7),
    (("long",), 9),
    (("other",), 12),
    (("inline", "b", "c"), 14),
    (("a", "b", "c d"), 15),
    (("layout",), 17),
    (("layout", "low"), 18),
    (("layout", "deep", "low"), 20),
    (("layout", "missing"), 17),
    (("node",), 21),
    (("node", 0), 21),
    (("node", 0, "memory"), 22),
    (("node", 1), 23),
    (("node", 1, "memory"), 25),
    (("node", 1, "missing"), 23),
    (("node", 1, "more", "x"), 27),
    (("node", 1, "part", 0, "y"), 29),
    (("node", 1, "part", 1, "y"), 31),
    (("spaced", "out", "z"), 33),
    (("nothing",), None),
    ((), None),
]


@pytest.mark.parametrize(("path", "line"), PLACES, ids=[format_path(p) or "-" for p, _ in PLACES])
def test_every_key_has_its_line(path: Path, line: int | None) -> None:
    tomllib.loads(TEXT)
    assert find_line(TEXT, path) == line


def test_paths_print_as_a_person_writes_them() -> None:
    assert format_path(("guests", "web", "node", 1, "memory")) == "guests.web.node[1].memory"


def test_windows_line_ends_count_once() -> None:
    assert find_line("a = 1\r\n\r\nb = 2\r\n", ("b",)) == 3


keys = st.text("ab\"'.# \\\n=é[", max_size=4)
values: st.SearchStrategy[Any] = st.recursive(
    st.integers() | st.text("a\"'\\#]}\n", max_size=6) | st.booleans(),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=6,
)


def _basic(text: str) -> str:
    escapes = {'"': '\\"', "\\": "\\\\", "\n": "\\n"}
    return '"' + "".join(escapes.get(letter, letter) for letter in text) + '"'


def _written(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int():
            return str(value)
        case str():
            return _basic(value)
        case _:
            return "[\n" + ",".join(_written(each) for each in value) + "\n]"


@given(st.dictionaries(keys, values, max_size=6))
def test_any_document_is_walked_as_it_was_written(document: dict[str, Any]) -> None:
    text, expected = "", {}
    for key, value in document.items():
        expected[key] = text.count("\n") + 1
        text += f"{_basic(key)} = {_written(value)} # end\n"
    assert tomllib.loads(text) == document
    assert {key: find_line(text, (key,)) for key in document} == expected
