"""Imports run one way."""

from pathlib import Path

import pytest

from layers import circle, violations

SOURCE = Path(__file__).parents[1] / "src"


def test_no_module_imports_upward() -> None:
    assert violations(SOURCE) == []


def test_there_is_no_import_circle() -> None:
    assert circle(SOURCE) is None


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / "memhp" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("core/a.py", "import memhp.model.b", "memhp.core.a imports memhp.model.b"),
        ("core/a.py", "from memhp.model import b", "memhp.core.a imports memhp.model.b"),
        (
            "core/a.py",
            "def f():\n    from memhp.model.b import X",
            "memhp.core.a imports memhp.model.b",
        ),
        ("operations/a.py", "import memhp.model.b", "memhp.operations.a imports memhp.model.b"),
        (
            "interfaces/cli/a.py",
            "import memhp.interfaces.web.b",
            "memhp.interfaces.cli.a imports memhp.interfaces.web.b",
        ),
    ],
)
def test_an_upward_import_is_found(tmp_path: Path, name: str, text: str, found: str) -> None:
    files = {"model/b.py": "", "interfaces/web/b.py": "", name: text}
    assert violations(tree(tmp_path, files)) == [found]


def test_a_circle_is_found(tmp_path: Path) -> None:
    files = {
        "core/a.py": "import memhp.core.b",
        "core/b.py": "from memhp.core.c import X",
        "core/c.py": "if True:\n    import memhp.core.a",
    }
    assert circle(tree(tmp_path, files)) == [
        "memhp.core.a",
        "memhp.core.b",
        "memhp.core.c",
        "memhp.core.a",
    ]


def test_an_import_inside_a_function_makes_no_circle(tmp_path: Path) -> None:
    files = {"core/a.py": "import memhp.core.b", "core/b.py": "def f():\n    import memhp.core.a"}
    assert circle(tree(tmp_path, files)) is None
