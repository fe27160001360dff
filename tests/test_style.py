"""Sizes and names that the design asks for."""

import ast
import re
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "memhp"
FILES = sorted(SOURCE.rglob("*.py"))
MOST_LINES_A_FILE = 400
MOST_LINES_A_FUNCTION = 40
EMPTY_NAMES = {"utils", "helpers", "helper", "manager", "handle", "process"}
ids = [str(path.relative_to(SOURCE)) for path in FILES]


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, kinds)]


def lines_of_body(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The lines of a function without its docstring."""
    body = node.body[1:] if ast.get_docstring(node) and len(node.body) > 1 else node.body
    return (node.end_lineno or 0) - body[0].lineno + 1


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_files_are_one_idea(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MOST_LINES_A_FILE


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_functions_are_short(path: Path) -> None:
    long = [node.name for node in functions(path) if lines_of_body(node) > MOST_LINES_A_FUNCTION]
    assert long == []


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_names_say_something(path: Path) -> None:
    names = [path.stem, *(node.name for node in functions(path))]
    tree = ast.parse(path.read_text())
    names += [node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    words = {word for name in names for word in re.findall(r"[A-Z]?[a-z]+", name)}
    assert {word.lower() for word in words} & EMPTY_NAMES == set()


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_only_the_command_line_prints_or_exits(path: Path) -> None:
    if "interfaces" in path.parts or path.name == "__main__.py":
        return
    calls = [
        ast.unparse(node.func)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
    ]
    forbidden = {"print", "sys.exit", "exit", "os._exit"}
    if path.name in {"shares.py", "exec_command.py", "exec_inside.py"}:
        # A forked child has to end here and nowhere else.
        forbidden.remove("os._exit")
    assert forbidden & set(calls) == set()
