"""Every mutant of a source file: one node of its syntax tree replaced, named so that the name outlives edits
elsewhere in the file."""

from __future__ import annotations

import ast
import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mutant_operators import conditions, replacements


@dataclass(frozen=True, order=True)
class Mutant:
    """``mutation``: the smallest statement or expression that says what changed, before and after.
    ``nth``: which one, where several of a function's lines read alike and change alike."""

    file: str
    function: str
    line: str
    mutation: str
    nth: int
    lines: tuple[int, int]
    """First and last line of the statement (of its head, if it has a body); no part of the name."""

    @property
    def key(self) -> tuple[str, str, str, str, int]:
        return self.file, self.function, self.line, self.mutation, self.nth

    @property
    def digest(self) -> str:
        return hashlib.sha256(repr(self.key).encode()).hexdigest()[:16]

    def __str__(self) -> str:
        return f"{self.file}:{self.lines[0]} {self.function}: {self.mutation}"


class Source:
    """A file and its mutants. ``file`` is how it is called, such as ``robot/safety/limits.py``."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self._text = text
        self._lines = text.splitlines()
        self._tree = ast.parse(text)
        self._names = _neighbours(self._tree)
        self._changes: dict[str, tuple[ast.AST, str, int | None, ast.AST]] = {}
        self.mutants: list[Mutant] = []
        seen: Counter[tuple[str, str, str]] = Counter()
        for function, lines, parent, field, index, node in _places(self._tree, "<module>", (1, 1)):
            for other in (*replacements(node, self._names), *conditions(node)):
                ast.copy_location(other, node)
                line = self._lines[node.lineno - 1].strip()  # type: ignore[attr-defined]
                mutation = _describe(node, other)
                nth = seen[function, line, mutation]
                seen[function, line, mutation] += 1
                mutant = Mutant(file, function, line, mutation, nth, lines)
                self._changes[mutant.digest] = (parent, field, index, other)
                self.mutants.append(mutant)

    @classmethod
    def read(cls, root: Path, file: str) -> Source:
        return cls(file, (root / file).read_text())

    def code(self, digest: str) -> Any:
        """The mutant as a code object."""
        parent, field, index, other = self._changes[digest]
        old = getattr(parent, field)
        if index is None:
            setattr(parent, field, other)
        else:
            setattr(parent, field, [*old[:index], other, *old[index + 1 :]])
        try:
            return compile(ast.fix_missing_locations(self._tree), self.file, "exec")
        finally:
            setattr(parent, field, old)


def _places(
    node: ast.AST, function: str, lines: tuple[int, int]
) -> Iterator[tuple[str, tuple[int, int], ast.AST, str, int | None, ast.AST]]:
    """Function, its statement's lines, parent, field, index and node, for every node that may be replaced."""
    for field, value in ast.iter_fields(node):
        if _left_alone(node, field):
            continue
        for index, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if not isinstance(child, ast.AST) or _is_text(child, node):
                continue
            name, span = function, lines
            if isinstance(child, ast.stmt):
                span = (child.lineno, _last_line(child))
            if isinstance(child, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
                name = child.name if function == "<module>" else f"{function}.{child.name}"
            elif isinstance(child, ast.expr | ast.stmt | ast.Slice):
                yield function, span, node, field, index, child
            yield from _places(child, name, span)


def _last_line(statement: ast.stmt) -> int:
    body = getattr(statement, "body", None)
    if body:
        return max(int(body[0].lineno) - 1, statement.lineno)
    return statement.end_lineno or statement.lineno


def _left_alone(node: ast.AST, field: str) -> bool:
    return (
        field in ("annotation", "returns", "decorator_list", "ctx", "op", "ops", "bases", "type_params")
        or isinstance(node, ast.Import | ast.ImportFrom | ast.Raise | ast.JoinedStr)
        or (isinstance(node, ast.ClassDef) and field == "keywords")
        or (
            isinstance(node, ast.Subscript) and ast.unparse(node.value) in ("Literal", "NDArray", "frozenset")
        )
    )


def _is_text(node: ast.AST, parent: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and hasattr(parent, "body")


def _neighbours(tree: ast.Module) -> dict[str, str]:
    """Names bound to enumeration members at module level, each with the next one in order."""
    names = [
        target.id
        for statement in tree.body
        if isinstance(statement, ast.Assign) and "SafetyState." in ast.unparse(statement.value)
        for group in statement.targets
        for target in (group.elts if isinstance(group, ast.Tuple) else [group])
        if isinstance(target, ast.Name)
    ]
    return dict(zip(names, names[1:] + names[:1], strict=True)) if len(names) > 1 else {}


def _describe(node: ast.AST, other: ast.AST) -> str:
    before, after = (_short(part) for part in (node, other))
    return f"{before} -> {after}"


def _short(node: ast.AST) -> str:
    """A compound statement by its first line; anything else whole."""
    text = ast.unparse(node)
    return text.splitlines()[0] if isinstance(node, ast.If | ast.While) else " ".join(text.split())
