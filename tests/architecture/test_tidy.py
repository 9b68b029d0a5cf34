"""The house rules that a machine can check."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("ipfs", "proofs", "chain", "market", "provider", "client", "cli")
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60
EMPTY_NAMES = re.compile(r"(utils?|helpers?|common|managers?|misc|services?)$")


def modules(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", modules(*PACKAGES), ids=relative)
def test_a_module_is_short_and_says_what_it_is(path: Path) -> None:
    source = path.read_text()
    tree = ast.parse(source)
    assert source.count("\n") <= FILE_LINES_MAX, "split it by what changes together"
    assert ast.get_docstring(tree), "a module says in a line what it is"
    assert not EMPTY_NAMES.search(path.stem), "a name that says nothing"
    assert not re.search(r"#\s*(TODO|FIXME|XXX|HACK)", source), "done, or in an issue"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            assert lines <= FUNCTION_LINES_MAX, f"{node.name} has {lines} lines"
        if isinstance(node, ast.ClassDef):
            assert not re.search(r"(Manager|Service|Helper|DTO)$", node.name), node.name
        if isinstance(node, ast.ExceptHandler):
            assert not swallows(node), f"line {node.lineno} swallows every error"


def swallows(handler: ast.ExceptHandler) -> bool:
    broad = handler.type is None or (
        isinstance(handler.type, ast.Name) and handler.type.id in ("Exception", "BaseException")
    )
    return broad and not any(isinstance(node, ast.Raise) for node in ast.walk(handler))


def written_tests(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if node.name.startswith("test_"):
            yield node


@pytest.mark.parametrize("path", modules("tests"), ids=relative)
def test_a_test_can_fail_and_does_not_sleep(path: Path) -> None:
    for test in written_tests(path):
        calls_or_asserts = (ast.Assert, ast.With, ast.AsyncWith, ast.Call)
        assert any(isinstance(node, calls_or_asserts) for node in ast.walk(test)), test.name
    sleeps = re.findall(r"\b(?:time|asyncio)\.sleep\((?!0\))", path.read_text())
    assert not sleeps or path == Path(__file__), "wait for the fact, not for the time"


def test_nothing_names_a_machine_or_a_registry() -> None:
    forbidden = re.compile(
        r"(?<![\w./:-])/(?:home|root|wor[k])/|--(?:extra-)?index-url|pypi\.org/simple"
    )
    texts = [
        path
        for path in ROOT.rglob("*")
        if path.suffix in {".py", ".md", ".toml", ".yml", ".sh"}
        and not any(
            part.startswith(".") or part == "build" for part in path.parts[len(ROOT.parts) :]
        )
    ]
    assert len(texts) > 20
    for path in texts:
        assert not forbidden.search(path.read_text()), relative(path)
