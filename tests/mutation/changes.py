"""The changes: every way a module's text is made slightly wrong, one at a time."""

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass

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
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
_CODE = (
    *(ast.Compare, ast.BinOp, ast.AugAssign, ast.BoolOp, ast.UnaryOp, ast.Call, ast.Constant),
    *(ast.If, ast.IfExp, ast.Return, ast.Continue, ast.Break, ast.Expr),
)
_CALLS = {"min": "max", "max": "min", "any": "all", "all": "any"}


@dataclass(frozen=True)
class Change:
    """One change of one module: what stood where, and the module's tree with it made."""

    line: int
    what: str
    tree: ast.Module


def changes(source: str) -> Iterator[Change]:
    """Every change of a module. Docstrings, annotations, messages and log lines stay as they are."""
    tree = ast.parse(source)
    nodes = [node for node in ast.walk(tree) if _is_code(node)]
    skipped = _untouched(tree)
    for position, node in enumerate(nodes):
        if id(node) in skipped:
            continue
        for number, (what, _) in enumerate(_variants(node)):
            changed = copy.deepcopy(tree)
            again = [found for found in ast.walk(changed) if _is_code(found)][position]
            _, apply = list(_variants(again))[number]
            apply()
            ast.fix_missing_locations(changed)
            yield Change(getattr(node, "lineno", 0), what, changed)


def _is_code(node: ast.AST) -> bool:
    return isinstance(node, _CODE)


def _untouched(tree: ast.Module) -> set[int]:
    """Nodes whose change would say nothing: texts for people, types, decorators, options of classes."""
    return {id(inner) for node in ast.walk(tree) for left in _left_alone(node) for inner in ast.walk(left)}


def _left_alone(node: ast.AST) -> list[ast.AST]:
    left: list[ast.AST | None] = []
    match node:
        case ast.Expr(value=ast.Constant()) | ast.JoinedStr():
            left = [node]
        case ast.AnnAssign() | ast.arg():
            left = [node.annotation]
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            left = [node.returns, *node.decorator_list]
        case ast.ClassDef():
            left = [*node.decorator_list, *node.keywords]
        case ast.Raise():
            # That it is raised is what tests notice; the words of the message are not.
            left = [inner for inner in ast.walk(node) if isinstance(inner, ast.Constant | ast.JoinedStr)]
        case ast.Call() if _name(node.func).startswith(("TesseraError", "TypeVar")):
            left = [node]
        case ast.Expr() if _logs(node):
            left = [node]
        case ast.If() if all(_logs(step) for step in node.body) and not node.orelse:
            left = [node]
    return [one for one in left if one is not None]


def _logs(step: ast.stmt) -> bool:
    return isinstance(step, ast.Expr) and isinstance(step.value, ast.Call) and _name(step.value.func).startswith("log.")


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_name(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def _variants(node: ast.AST) -> Iterator[tuple[str, "Apply"]]:
    if isinstance(node, ast.Compare | ast.BinOp | ast.AugAssign | ast.BoolOp | ast.UnaryOp):
        yield from _operators(node)
    elif isinstance(node, ast.Constant):
        if type(node.value) is bool:
            yield f"{node.value} becomes {not node.value}", Apply(node, "value", not node.value)
        elif type(node.value) is int:
            yield f"{node.value} becomes {node.value + 1}", Apply(node, "value", node.value + 1)
    elif isinstance(node, ast.Call):
        if isinstance(node.func, ast.Name) and node.func.id in _CALLS:
            yield f"{node.func.id} becomes {_CALLS[node.func.id]}", Apply(node.func, "id", _CALLS[node.func.id])
    else:
        yield from _steps(node)


def _operators(
    node: ast.Compare | ast.BinOp | ast.AugAssign | ast.BoolOp | ast.UnaryOp,
) -> Iterator[tuple[str, "Apply"]]:
    match node:
        case ast.Compare():
            for index, operator in enumerate(node.ops):
                for other in _COMPARISONS.get(type(operator), ()):
                    yield f"{type(operator).__name__} becomes {other.__name__}", Apply(node.ops, index, other())
        case ast.BinOp() | ast.AugAssign() if type(node.op) in _ARITHMETIC:
            arithmetic = _ARITHMETIC[type(node.op)]
            yield f"{type(node.op).__name__} becomes {arithmetic.__name__}", Apply(node, "op", arithmetic())
        case ast.BoolOp():
            joining = ast.Or() if isinstance(node.op, ast.And) else ast.And()
            yield f"{type(node.op).__name__} becomes {type(joining).__name__}", Apply(node, "op", joining)
        case ast.UnaryOp(op=ast.Not()) | ast.UnaryOp(op=ast.USub()):
            yield f"{type(node.op).__name__} is dropped", Apply(node, "op", ast.UAdd())


def _steps(node: ast.AST) -> Iterator[tuple[str, "Apply"]]:
    match node:
        case ast.If() | ast.IfExp():
            yield "the condition holds always", Apply(node, "test", ast.Constant(value=True))
            yield "the condition holds never", Apply(node, "test", ast.Constant(value=False))
        case ast.Return() if node.value is not None and not isinstance(node.value, ast.Constant):
            yield "None is returned", Apply(node, "value", ast.Constant(value=None))
        case ast.Continue() | ast.Break():
            yield f"{type(node).__name__.lower()} is dropped", Apply(node, "__class__", ast.Pass)
        case ast.Expr(value=ast.Call() | ast.Await()):
            yield "the call is dropped", Apply(node, "value", ast.Constant(value=None))


class Apply:
    """Makes one change in a tree."""

    def __init__(self, owner: object, place: str | int, value: object) -> None:
        self._owner = owner
        self._place = place
        self._value = value

    def __call__(self) -> None:
        if isinstance(self._owner, list) and isinstance(self._place, int):
            self._owner[self._place] = self._value
        else:
            setattr(self._owner, str(self._place), self._value)
