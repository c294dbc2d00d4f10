"""How long functions are, and how many of the lines of code are guards: python benchmarks/structure.py [FOLDER ...]

Lines of code are those without docstrings, comments and blank lines. Guards are lines that only refuse: `raise` and the `if`
or `except` that ends in one, `assert`, and calls of functions named `require...` or `check...`.
"""

from __future__ import annotations

import argparse
import ast
import io
import statistics
import sys
import tokenize
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from scdm.start import begin

ROOT = Path(__file__).parents[1]
GUARDS = ("require", "_require", "check", "_check")
BLANK = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
Function = ast.FunctionDef | ast.AsyncFunctionDef


class Structure(NamedTuple):
    """Of a file: the number of lines of code and of guards, and the length of each function by name."""

    code: int
    guards: int
    functions: dict[str, int]


def structure(source: str) -> Structure:
    tree = ast.parse(source)
    code = _tokens(source) - _docstrings(tree)
    guards = {line for node in ast.walk(tree) for line in _guard(node)} & code
    functions = {f"{n.name}:{n.lineno}": len(_lines(n) & code) for n in ast.walk(tree) if isinstance(n, Function)}
    return Structure(len(code), len(guards), functions)


def _lines(node: ast.AST, last: ast.AST | None = None) -> set[int]:
    return set(range(getattr(node, "lineno", 0), getattr(last or node, "end_lineno", 0) + 1))


def _tokens(source: str) -> set[int]:
    tokens = [token for token in tokenize.generate_tokens(io.StringIO(source).readline) if token.type not in BLANK]
    return {line for token in tokens for line in range(token.start[0], token.end[0] + 1)}


def _docstrings(tree: ast.AST) -> set[int]:
    owners = [n for n in ast.walk(tree) if isinstance(n, ast.Module | ast.ClassDef | Function) and ast.get_docstring(n)]
    return {line for owner in owners for line in _lines(owner.body[0])}


def _guard(node: ast.AST) -> Iterator[int]:
    if isinstance(node, ast.Raise | ast.Assert):
        yield from _lines(node)
    elif isinstance(node, ast.If | ast.ExceptHandler) and isinstance(node.body[-1], ast.Raise):
        yield from _lines(node, node.body[-1])
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        called = node.value.func
        name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
        if name.startswith(GUARDS):
            yield from _lines(node)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "folders", nargs="*", type=Path, default=[ROOT / name for name in ("scdm", "nodes", "training")]
    )
    print(
        "folder | lines of code | guards | median function | 90th percentile | longest\n--- | --- | --- | --- | --- | ---"
    )
    for folder in parser.parse_args(argv).folders:
        if not any(folder.rglob("*.py")):
            parser.error(f"{folder} has no Python files")
        files = {path: structure(path.read_text(encoding="utf-8")) for path in sorted(folder.rglob("*.py"))}
        code = sum(file.code for file in files.values())
        guards = sum(file.guards for file in files.values())
        lengths = sorted(
            (n, f"{path.name}:{name}") for path, file in files.items() for name, n in file.functions.items()
        )
        numbers, (_, longest) = [n for n, _ in lengths], lengths[-1]
        cells = (f"{statistics.median(numbers):g}", numbers[int(0.9 * len(numbers))], f"{numbers[-1]} ({longest})")
        print(folder.name, code, f"{guards / code:.1%}", *cells, sep=" | ")
    return 0


if __name__ == "__main__":
    begin("structure")
    sys.exit(main())
