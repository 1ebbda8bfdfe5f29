"""Small wrongs that a programmer might do: for a node of the syntax tree, what it might be instead.

Left alone: annotations, docstrings, imports, decorators, type aliases, and texts that only a person reads
(inside f-strings and ``raise``).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

Place = tuple[str, int | None]
"""A field of a node, and the index if that field is a list."""

_COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.MatMult: ast.Mult,
}
_PAIRS = (
    ("min", "max"),
    ("minimum", "maximum"),
    ("fmin", "fmax"),
    ("any", "all"),
    ("argmin", "argmax"),
    ("floor", "ceil"),
    ("logical_and", "logical_or"),
    ("greater", "greater_equal"),
    ("less", "less_equal"),
    ("add", "subtract"),
    ("multiply", "divide"),
    ("zeros", "ones"),
    ("append", "appendleft"),
)
_SWAPPED = {a: b for pair in _PAIRS for a, b in (pair, pair[::-1])}
_UNWRAPPED = frozenset({"abs", "round", "sqrt", "isfinite", "absolute", "copysign", "deg2rad"})
"""Functions of which the first argument alone is a plausible mistake."""

_ENUMS = {
    "Request": ("NONE", "REDUCE", "CATEGORY2", "CATEGORY1", "CATEGORY0"),
}


def replacements(node: ast.AST, names: dict[str, str]) -> Iterator[ast.AST]:
    """What ``node`` might be instead. ``names``: module-level names, and which other one each might be mixed
    up with."""
    if isinstance(node, ast.Compare):
        for k, operator in enumerate(node.ops):
            for other in _COMPARISONS.get(type(operator), ()):
                yield _with(node, ops=[*node.ops[:k], other(), *node.ops[k + 1 :]])
    elif isinstance(node, ast.BinOp | ast.AugAssign):
        if type(node.op) in _ARITHMETIC:
            yield _with(node, op=_ARITHMETIC[type(node.op)]())
    elif isinstance(node, ast.UnaryOp):
        yield node.operand
    elif isinstance(node, ast.BoolOp):
        yield _with(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
        for k in range(len(node.values)):
            rest = [*node.values[:k], *node.values[k + 1 :]]
            yield rest[0] if len(rest) == 1 else _with(node, values=rest)
    elif isinstance(node, ast.Constant):
        yield from _constants(node)
    elif isinstance(node, ast.Attribute):
        yield from _attributes(node)
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
        other_name = names.get(node.id) or _SWAPPED.get(node.id)
        if other_name:
            yield ast.Name(other_name, ast.Load())
    elif isinstance(node, ast.Call):
        yield from _calls(node)
    elif isinstance(node, ast.Slice):
        for bound in ("lower", "upper"):
            if getattr(node, bound) is not None:
                yield _with(node, **{bound: None})
    elif isinstance(node, ast.Set) and len(node.elts) > 1:
        for k in range(len(node.elts)):
            yield _with(node, elts=[*node.elts[:k], *node.elts[k + 1 :]])
    elif isinstance(node, ast.stmt):
        yield from _statements(node)


def conditions(node: ast.AST) -> Iterator[ast.AST]:
    """The same choice, always one way: for ``if``, ``while`` and conditional expressions."""
    if isinstance(node, ast.If | ast.IfExp):
        yield _with(node, test=ast.Constant(True))
        yield _with(node, test=ast.Constant(False))
    elif isinstance(node, ast.While):
        yield _with(node, test=ast.Constant(False))


def _constants(node: ast.Constant) -> Iterator[ast.AST]:
    value = node.value
    if isinstance(value, bool):
        yield ast.Constant(not value)
    elif isinstance(value, int | float):
        # Nobody could notice a nanosecond more in a second; twice as much, somebody should.
        yield ast.Constant(value + 1 if abs(value) < 1000 and isinstance(value, int) else 2 * value or 1.0)
        if value:
            yield ast.Constant(-value)
    elif isinstance(value, str):
        yield ast.Constant(f"{value}?" if value else "?")


def _attributes(node: ast.Attribute) -> Iterator[ast.AST]:
    owner = node.value
    if isinstance(owner, ast.Name) and owner.id in _ENUMS and node.attr in _ENUMS[owner.id]:
        members = _ENUMS[owner.id]
        at = members.index(node.attr)
        for other in members[max(at - 1, 0) : at] + members[at + 1 : at + 2]:
            yield _with(node, attr=other)
    elif isinstance(owner, ast.Name) and owner.id == "Cause":
        yield _with(node, attr="SHUTDOWN" if node.attr == "NONE" else "NONE")
    elif node.attr in _SWAPPED:
        yield _with(node, attr=_SWAPPED[node.attr])


def _calls(node: ast.Call) -> Iterator[ast.AST]:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if name in _UNWRAPPED and node.args:
        yield node.args[0]
    for k in range(len(node.keywords)):
        yield _with(node, keywords=[*node.keywords[:k], *node.keywords[k + 1 :]])


def _statements(node: ast.stmt) -> Iterator[ast.AST]:
    if isinstance(node, ast.Return):
        if node.value is not None and not (isinstance(node.value, ast.Constant) and node.value.value is None):
            yield ast.Return(ast.Constant(None))
    elif isinstance(node, ast.Break):
        yield ast.Continue()
    elif isinstance(node, ast.Continue):
        yield ast.Break()
    elif (
        isinstance(node, ast.Raise | ast.AugAssign)
        or (isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant))
        or (isinstance(node, ast.Assign) and not all(isinstance(t, ast.Name) for t in node.targets))
    ):
        # A local name that is never bound fails by itself; what is left out here goes unnoticed.
        yield ast.Pass()


def _with(node: ast.AST, **changes: object) -> ast.AST:
    fields = {name: getattr(node, name, None) for name in node._fields} | changes
    return type(node)(**fields)
