"""Reads the structure of the package off its sources: who imports whom and when, whose names are used, what is state.

Every rule is a function from modules to offenders, a line of text each: all of them, so that one run of the tests says
all there is to mend. tests/test_house.py tries the rules on small sources and applies them to the tree.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

PACKAGE = "lmzip"
REASONS = re.compile(r"#.*\b(start-up|extra|platform): \S")
LONGEST = 450  # lines of a file
DOCUMENTED = {"_asdict", "_replace", "_fields", "_make", "_field_defaults", "_exit"}  # of named tuples, of os
MUTATORS = {
    *("append", "add", "update", "setdefault", "pop", "popitem", "clear", "extend", "insert", "remove", "discard"),
    *("appendleft", "popleft", "set", "put", "acquire", "register"),
}
Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


@dataclass(frozen=True)
class Source:
    """A module of the package: `path` from the package's folder on, as in "prior/store.py"."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @cached_property
    def name(self) -> str:
        parts = [PACKAGE, *self.path.removesuffix(".py").split("/")]
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    @cached_property
    def package(self) -> str:
        return self.name if self.path.endswith("__init__.py") else self.name.rpartition(".")[0]

    @property
    def in_codec(self) -> bool:
        return self.path.startswith("codec/")

    @cached_property
    def comments(self) -> dict[int, str]:
        tokens = tokenize.generate_tokens(io.StringIO(self.text).readline)
        return {token.start[0]: token.string for token in tokens if token.type == tokenize.COMMENT}


@dataclass(frozen=True)
class Excuse:
    """Names that a module may use, or state it may have, and why."""

    path: str
    names: tuple[str, ...]
    reason: str


def read(folder: Path) -> list[Source]:
    """Every module of a package's folder."""
    paths = sorted(folder.rglob("*.py"))
    return [Source(path.relative_to(folder).as_posix(), path.read_text("utf-8")) for path in paths]


# Imports


@dataclass(frozen=True)
class Import:
    """An import statement; `late`: inside a function; `types`: only a type checker runs it."""

    node: ast.Import | ast.ImportFrom
    late: bool
    types: bool


def imports(source: Source) -> Iterator[Import]:
    """Every import statement."""

    def walk(node: ast.AST, late: bool, types: bool) -> Iterator[Import]:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield Import(node, late, types)
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            for child in node.body:
                yield from walk(child, late, True)
            for child in node.orelse:
                yield from walk(child, late, types)
            return
        for child in ast.iter_child_nodes(node):
            yield from walk(child, late or isinstance(node, Function), types)

    yield from walk(source.tree, False, False)


def origin(source: Source, node: ast.ImportFrom) -> str:
    """The full name of the module that names are imported from."""
    if not node.level:
        return node.module or ""
    package = source.package.split(".")
    base = package[: len(package) - node.level + 1]
    return ".".join([*base, *filter(None, [node.module])])


def targets(source: Source, statement: Import, names: set[str]) -> set[str]:
    """The modules among `names` that a statement imports; the packages around them are not counted."""
    if isinstance(statement.node, ast.Import):
        return {alias.name for alias in statement.node.names} & names
    module = origin(source, statement.node)
    members = {f"{module}.{alias.name}" for alias in statement.node.names}
    others = {alias.name for alias in statement.node.names if f"{module}.{alias.name}" not in names}
    return (members & names) | ({module} & names if others else set())


def circles(sources: Iterable[Source]) -> list[str]:
    """Groups of modules outside the codec that import each other, imports inside functions counted."""
    sources = [source for source in sources if not source.in_codec]
    names = {source.name for source in sources}
    arrows: dict[str, dict[str, str]] = {}
    for source in sources:
        reached = arrows.setdefault(source.name, {})
        for statement in imports(source):
            for target in sorted(targets(source, statement, names)) if not statement.types else ():
                place = f"{source.path}:{statement.node.lineno}" + " (in a function)" * statement.late
                reached.setdefault(target, place)
    offenders = []
    for group in _components({name: set(reached) for name, reached in arrows.items()}):
        inside = [
            f"    {place}: {name} imports {target}"
            for name in sorted(group) for target, place in sorted(arrows[name].items()) if target in group
        ]  # fmt: skip
        offenders.append("\n".join([f"a circle of {len(group)}: {', '.join(sorted(group))}", *inside]))
    return sorted(offenders)


def _components(arrows: dict[str, set[str]]) -> list[set[str]]:
    """Strongly connected parts of more than one node, and nodes with an arrow to themselves (Tarjan 1972)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    parts = []

    def visit(node: str) -> None:
        order[node] = low[node] = len(order)
        stack.append(node)
        for target in sorted(arrows[node]):
            if target not in order:
                visit(target)
                low[node] = min(low[node], low[target])
            elif target in stack:
                low[node] = min(low[node], order[target])
        if low[node] == order[node]:
            part = set(stack[stack.index(node) :])
            del stack[stack.index(node) :]
            if len(part) > 1 or node in arrows[node]:
                parts.append(part)

    for node in sorted(arrows):
        if node not in order:
            visit(node)
    return parts


def codec_imports(sources: Iterable[Source]) -> list[str]:
    """Imports of the codec from outside itself: it is sent alone."""
    offenders = []
    for source in sources:
        for statement in imports(source) if source.in_codec else ():
            node = statement.node
            modules = [origin(source, node)] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
            for module in modules:
                if module.split(".")[0] == PACKAGE and not f"{module}.".startswith(f"{PACKAGE}.codec."):
                    offenders.append(f"{source.path}:{node.lineno}: the codec imports {module}")
    return offenders


def late_imports(sources: Iterable[Source]) -> list[str]:
    """Imports inside functions outside the codec whose line doesn't say why they are there."""
    offenders = []
    for source in sources:
        for statement in imports(source) if not source.in_codec else ():
            node = statement.node
            lines = range(node.lineno, (node.end_lineno or node.lineno) + 1)
            if statement.late and not statement.types and not any(
                REASONS.search(source.comments.get(line, "")) for line in lines
            ):  # fmt: skip
                offenders.append(f"{source.path}:{node.lineno}: {ast.unparse(node)}")
    return offenders


# Names


def hidden_names(sources: Iterable[Source]) -> list[str]:
    """What a package calls like a module of its own: whoever imports that module puts it in the other's place."""
    sources, offenders = list(sources), []
    for source in sources:
        if not source.path.endswith("__init__.py"):
            continue
        modules = {one.name.removeprefix(f"{source.name}.") for one in sources if one.package == source.name}
        modules |= {one.name.rpartition(".")[2] for one in sources if one.path.endswith("__init__.py")
                    and one.name.rpartition(".")[0] == source.name}  # fmt: skip
        for node in source.tree.body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                names = {node.name}
            elif isinstance(node, ast.ImportFrom) and origin(source, node) != source.name:
                names = {alias.asname or alias.name for alias in node.names}
            else:
                names = {
                    one.id for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)
                }
            offenders += [f"{source.path}:{node.lineno}: {name}" for name in sorted(names & modules)]
    return offenders


def is_private(name: str) -> bool:
    """One underscore in front, more than that, and no library's documented name."""
    return name.startswith("_") and not name.startswith("__") and name.strip("_") != "" and name not in DOCUMENTED


def own_names(source: Source) -> set[str]:
    """Every name that a module defines anywhere: functions, classes, variables, attributes, parameters."""
    names = set()
    for node in ast.walk(source.tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and _is_own(node.value):
            names.add(node.attr)
    return names


def _is_own(node: ast.AST) -> bool:
    """self, cls or super()."""
    called = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "super"
    return called or (isinstance(node, ast.Name) and node.id in ("self", "cls"))


def private_uses(source: Source) -> Iterator[tuple[int, str, str]]:
    """Line, name and text of every use of another module's private name."""
    own = own_names(source)
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if is_private(alias.name):
                    yield node.lineno, alias.name, f"from {origin(source, node)} import {alias.name}"
            for part in (node.module or "").split("."):
                if is_private(part):
                    yield node.lineno, part, f"from {node.module} import …"
        elif isinstance(node, ast.Attribute) and is_private(node.attr) and node.attr not in own:
            if not _is_own(node.value):
                yield node.lineno, node.attr, ast.unparse(node)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and len(node.args) > 1:
            name = node.args[1]
            if node.func.id not in ("getattr", "setattr", "hasattr", "delattr") or not isinstance(name, ast.Constant):
                continue
            if is_private(str(name.value)) and str(name.value) not in own and not _is_own(node.args[0]):
                yield node.lineno, str(name.value), ast.unparse(node)


def private_names(sources: Iterable[Source], excuses: Iterable[Excuse] = ()) -> list[str]:
    """Uses of other modules' private names, but for those excused; and excuses that nothing needs any more."""
    uses = (
        (source.path, name, f"{source.path}:{line}: {text}")
        for source in sources
        if not source.in_codec
        for line, name, text in sorted(private_uses(source))
    )
    return not_excused(uses, list(excuses))


def not_excused(uses: Iterable[tuple[str, str, str]], excuses: list[Excuse]) -> list[str]:
    """Of uses, each a path, a name and what to report, those not excused; and excuses that nothing needs any more."""
    offenders, needed = [], set()
    for path, name, text in uses:
        if any(one.path == path and name in one.names for one in excuses):
            needed.add((path, name))
        else:
            offenders.append(text)
    for one in excuses:
        offenders += [f"{one.path}: no excuse is needed for {name}" for name in one.names
                      if (one.path, name) not in needed]  # fmt: skip
    return offenders


# Length


def long_files(files: Iterable[tuple[str, str]], most: int = LONGEST) -> list[str]:
    """Of files by name and text, those of more lines than `most`."""
    lengths = [(name, len(text.splitlines())) for name, text in files]
    return [f"{name}: {length} lines" for name, length in lengths if length > most]


# State


def globals_(sources: Iterable[Source]) -> list[str]:
    """`global` statements outside the codec."""
    return [
        f"{source.path}:{node.lineno}: global {', '.join(node.names)}"
        for source in sources if not source.in_codec
        for node in ast.walk(source.tree) if isinstance(node, ast.Global)
    ]  # fmt: skip


def _bound(function: ast.AST) -> set[str]:
    """The names that a function binds itself."""
    names: set[str] = set()
    outer: set[str] = set()
    assert isinstance(function, Function)
    every = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    names |= {one.arg for one in (*every, function.args.vararg, function.args.kwarg) if one}
    pending: list[ast.AST] = list(function.body) if isinstance(function.body, list) else [function.body]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Global):
            outer |= set(node.names)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ExceptHandler) and node.name:
            names.add(node.name)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif not isinstance(node, ast.Lambda):
            pending += ast.iter_child_nodes(node)
    return names - outer


def _is_empty(value: ast.AST | None) -> bool:
    """An empty container, or an object to be filled: what has no use but to hold state."""
    if isinstance(value, ast.Call) and isinstance(value.func, (ast.Name, ast.Attribute)):
        name = value.func.id if isinstance(value.func, ast.Name) else value.func.attr
        return name in ("Event", "Lock", "RLock", "local", "ContextVar", "defaultdict", "WeakValueDictionary") or (
            name in ("dict", "list", "set", "deque", "Counter", "OrderedDict", "bytearray") and not value.args
            and not value.keywords
        )  # fmt: skip
    return (isinstance(value, ast.Dict) and not value.keys) or (isinstance(value, ast.List) and not value.elts)


def state(source: Source) -> dict[str, str]:
    """What a module holds between calls, by name, with the line that tells: what functions change, or what is empty."""
    result: dict[str, str] = {}
    variables: set[str] = set()
    for node in source.tree.body:
        if isinstance(node, (ast.Assign, ast.AnnAssign)):
            places = node.targets if isinstance(node, ast.Assign) else [node.target]
            for place in (one for target in places for one in ast.walk(target)):
                if isinstance(place, ast.Name):
                    variables.add(place.id)
                    if _is_empty(node.value):
                        result.setdefault(place.id, f"{node.lineno}: {ast.unparse(node)}")
    imported = {
        (alias.asname or alias.name).split(".")[0]
        for one in imports(source) if not one.types
        for alias in one.node.names
    }  # fmt: skip
    candidates = variables | imported

    def base(node: ast.AST) -> str:
        while isinstance(node, (ast.Attribute, ast.Subscript)):
            node = node.value
        return node.id if isinstance(node, ast.Name) else ""

    def walk(node: ast.AST, inside: bool, hidden: frozenset[str]) -> None:
        if isinstance(node, Function):
            inside, hidden = True, hidden | _bound(node)
        changed = ""
        if isinstance(node, (ast.Attribute, ast.Subscript)) and isinstance(node.ctx, (ast.Store, ast.Del)):
            changed = base(node)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in MUTATORS:
            changed = base(node.func.value) if base(node.func.value) in variables else ""
        if inside and changed in candidates and changed not in hidden:
            result.setdefault(changed, f"{node.lineno}: {ast.unparse(node)}")  # type: ignore[attr-defined]
        for child in ast.iter_child_nodes(node):
            walk(child, inside, hidden)

    walk(source.tree, False, frozenset())
    return result


def states(sources: Iterable[Source], excuses: Iterable[Excuse] = ()) -> list[str]:
    """State of modules outside the codec, but for those excused; and excuses that nothing needs any more."""
    uses = (
        (source.path, name, f"{source.path}:{text}")
        for source in sources
        if not source.in_codec
        for name, text in state(source).items()
    )
    return not_excused(uses, list(excuses))


# Docstrings


def public(source: Source) -> Iterator[tuple[str, ast.AST, ast.AST | None]]:
    """Public classes, functions and methods, and the class of a method."""

    def walk(node: ast.Module | ast.ClassDef, prefix: str) -> Iterator[tuple[str, ast.AST, ast.AST | None]]:
        for child in node.body:
            if not isinstance(child, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                continue
            if not child.name.startswith("_") or child.name == "__init__":
                yield prefix + child.name, child, node if isinstance(node, ast.ClassDef) else None
            if isinstance(child, ast.ClassDef) and not child.name.startswith("_"):
                yield from walk(child, f"{prefix}{child.name}.")

    if not any(part.startswith("_") and part not in ("__init__", "__main__")
               for part in source.path.removesuffix(".py").split("/")):  # fmt: skip
        yield from walk(source.tree, "")


def undocumented(sources: Iterable[Source]) -> list[str]:
    """Public modules, classes and functions without a docstring. Methods may speak for themselves by their names."""
    offenders = []
    for source in sources:
        if not ast.get_docstring(source.tree):
            offenders.append(f"{source.path}:1: the module")
        for name, node, owner in public(source):
            if owner is None and not ast.get_docstring(node):  # type: ignore[arg-type]
                offenders.append(f"{source.path}:{node.lineno}: {name}")  # type: ignore[attr-defined]
    return offenders


def _raised(function: ast.AST) -> list[str]:
    """The errors that a function raises itself, by name; "" where the name can't be told. Bugs are not counted."""
    names = []
    pending = list(ast.iter_child_nodes(function))
    while pending:
        node = pending.pop()
        if isinstance(node, (Function, ast.ClassDef)):
            continue
        if isinstance(node, ast.Raise) and node.exc is not None:
            error = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            name = error.id if isinstance(error, ast.Name) else error.attr if isinstance(error, ast.Attribute) else ""
            names.append(name if name[:1].isupper() else "")
        pending += ast.iter_child_nodes(node)
    return [name for name in names if name not in ("AssertionError", "NotImplementedError")]


def unsaid_errors(sources: Iterable[Source]) -> list[str]:
    """Public functions and methods outside the codec that raise an error which no docstring of theirs names."""
    offenders = []
    for source in sources:
        for name, node, owner in public(source) if not source.in_codec else ():
            if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                continue
            text = " ".join(ast.get_docstring(one) or "" for one in (node, owner) if one is not None)  # type: ignore[arg-type]
            errors = dict.fromkeys(_raised(node))
            told = re.search(r"\b[Rr]aises?\b", text) is not None
            missing = [error or "its error" for error in errors if error not in text or not told]
            if missing:
                offenders.append(f"{source.path}:{node.lineno}: {name} raises {', '.join(missing)}")
    return offenders
