"""Reads the imports of a source tree: who imports whom, and where that is forbidden."""

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = "memhp"
# What each layer may import besides itself. ``interfaces`` stand on top.
ALLOWED = {
    "core": set[str](),
    "model": {"core"},
    "operations": {"core"},
    "machines": {"core", "model"},
    "serving": {"core", "model", "machines"},
    "interfaces": {"core", "model", "operations", "machines", "serving"},
    "lab": {"core"},
}
Imports = dict[str, set[str]]


def modules(root: Path) -> dict[str, Path]:
    """Every module of the package below ``root`` (a ``src`` folder), by dotted name."""
    found = {}
    for path in sorted((root / PACKAGE).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(root: Path, *, lazy: bool) -> Imports:
    """What each module imports of the package; ``lazy`` counts those in functions too."""
    known = modules(root)
    return {
        name: {target for target in _targets(path, known, lazy=lazy) if target != name}
        for name, path in known.items()
    }


def _targets(path: Path, known: dict[str, Path], *, lazy: bool) -> Iterator[str]:
    tree = ast.parse(path.read_text())
    nodes = ast.walk(tree) if lazy else _at_import(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                if inner in known:
                    yield inner
                elif node.module in known:
                    yield node.module


def _at_import(tree: ast.Module) -> Iterator[ast.stmt]:
    """The statements that run when the module is imported."""
    waiting: list[ast.stmt] = list(tree.body)
    while waiting:
        node = waiting.pop()
        yield node
        for field in ("body", "orelse", "handlers", "finalbody"):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                waiting.extend(getattr(node, field, []))


def violations(root: Path) -> list[str]:
    """Every import that goes upward, or from one interface to another."""
    found: list[str] = []
    for name, targets in imports(root, lazy=True).items():
        upward = (target for target in sorted(targets) if not _may(name, target))
        found.extend(f"{name} imports {target}" for target in upward)
    return found


def _may(name: str, target: str) -> bool:
    own, other = (module.split(".")[1:] for module in (name, target))
    if not own or not other:
        # The package itself and __main__ hold the version and the start.
        return not own or not other
    if own[0] == other[0] == "interfaces":
        return len(own) < 2 or len(other) < 2 or own[1] == other[1]
    if own[0] == "__main__" or own[0] == other[0]:
        return True
    return other[0] in ALLOWED[own[0]]


def circle(root: Path) -> list[str] | None:
    """An import circle, if there is one, as the modules along it."""
    graph = imports(root, lazy=False)
    done: set[str] = set()

    def visit(name: str, way: list[str]) -> list[str] | None:
        if name in way:
            return [*way[way.index(name) :], name]
        if name in done:
            return None
        for target in sorted(graph[name]):
            found = visit(target, [*way, name])
            if found:
                return found
        done.add(name)
        return None

    return next((found for name in graph if (found := visit(name, []))), None)
