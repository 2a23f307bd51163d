"""Small changes to a module's decisions, each of which some test has to notice."""

from __future__ import annotations

import ast
import copy
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

#: A comparison → what it is taken for.
COMPARED: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,),
    ast.Lt: (ast.LtE, ast.GtE), ast.LtE: (ast.Lt, ast.Gt), ast.Gt: (ast.GtE, ast.LtE), ast.GtE: (ast.Gt, ast.Lt),
    ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,), ast.In: (ast.NotIn,), ast.NotIn: (ast.In,),
}  # fmt: skip
COMBINED: dict[type[ast.operator], type[ast.operator]] = {
    ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr, ast.Sub: ast.Add, ast.Add: ast.Sub, ast.Mult: ast.Add,
}  # fmt: skip


def changes(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """What may stand in a node's place, and what to call it."""
    match node:
        case ast.Compare(ops=[one]) if type(one) in COMPARED:
            for other in COMPARED[type(one)]:
                changed = copy.deepcopy(node)
                changed.ops = [other()]
                yield f"{type(one).__name__} → {other.__name__}", changed
        case ast.Compare(ops=[_, *_]):
            for at, one in enumerate(node.ops):
                for other in COMPARED.get(type(one), ()):
                    changed = copy.deepcopy(node)
                    changed.ops[at] = other()
                    yield f"{type(one).__name__} {at} → {other.__name__}", changed
        case ast.BoolOp(op=ast.And() | ast.Or()):
            changed = copy.deepcopy(node)
            changed.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
            yield "and ↔ or", changed
            for at in range(len(node.values)):
                left = [value for index, value in enumerate(node.values) if index != at]
                yield f"without part {at}", left[0] if len(left) == 1 else ast.BoolOp(node.op, left)
        case ast.UnaryOp(op=ast.Not()):
            yield "without not", node.operand
        case ast.BinOp() if type(node.op) in COMBINED:
            changed = copy.deepcopy(node)
            changed.op = COMBINED[type(node.op)]()
            yield f"{type(node.op).__name__} → {COMBINED[type(node.op)].__name__}", changed
        case ast.If() | ast.IfExp():
            for truth in (True, False):
                changed = copy.deepcopy(node)
                changed.test = ast.Constant(truth)
                yield f"if {truth}", changed
        case ast.Constant(value=bool(value)):
            yield f"{value} → {not value}", ast.Constant(not value)
        case ast.Constant(value=int(value)):
            yield f"{value} → {value + 1}", ast.Constant(value + 1)
        case ast.Constant(value=str(value)) if value.isidentifier():
            yield f"{value!r} → other", ast.Constant(f"{value}x")
        case ast.Return(value=value) if value is not None and not isinstance(value, ast.Constant):
            yield "return None", ast.Return(ast.Constant(None))


def mutants(source: str) -> Iterator[tuple[int, str, ast.Module]]:
    """Line, name and tree of each changed module. Annotations, docstrings and messages are left alone."""
    tree = ast.parse(source)
    for number, node in enumerate(nodes(tree)):
        for name, _ in changes(node):
            changed = ast.parse(source)
            target = list(nodes(changed))[number]
            other = next(new for told, new in changes(target) if told == name)
            _Replace(target, other).visit(changed)
            yield getattr(node, "lineno", 0), name, ast.fix_missing_locations(changed)


def nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes that decide something."""
    for field, value in ast.iter_fields(tree):
        if field in ("annotation", "returns", "decorator_list", "type_params"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or _is_words(child):
                continue
            yield child
            yield from nodes(child)


def _is_words(node: ast.AST) -> bool:
    match node:
        case ast.Expr(value=ast.Constant(value=str())) | ast.JoinedStr() | ast.Import() | ast.ImportFrom():
            return True
        case ast.Raise() | ast.Assert():
            return True
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
    return False


class _Replace(ast.NodeTransformer):
    def __init__(self, target: ast.AST, other: ast.AST) -> None:
        self._target, self._other = target, other

    def visit(self, node: ast.AST) -> ast.AST:
        """The other in the target's place."""
        return self._other if node is self._target else self.generic_visit(node)
