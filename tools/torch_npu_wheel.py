"""What a wheel defines, found by reading its Python sources and the symbols in its compiled parts; nothing is imported.

In: a wheel and a chain of attributes such as ``torch_npu.npu.conv.allow_hf32``. Out: what it is and where, or None.
"""

from __future__ import annotations

import ast
import enum
import re
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile


@dataclass(frozen=True)
class Found:
    """A thing in the wheel: module, class, instance, function, value, or a name in a compiled part."""

    kind: str
    where: str
    module: str = ""
    node: ast.AST | None = None


class Wheel:
    """One wheel, opened for questions."""

    def __init__(self, path: Path) -> None:
        with ZipFile(path) as archive:
            names = archive.namelist()
            self._sources = {name: archive.read(name).decode("utf-8") for name in names if name.endswith(".py")}
            self._compiled = {name: archive.read(name) for name in names if name.endswith((".so", ".pyd"))}
        self._symbols: dict[str, dict[str, ast.AST | tuple[str, str]]] = {}

    def resolve(self, chain: str) -> Found | None:
        """Return what the chain leads to; ``()`` in it stands for what a call or an index gives."""
        parts = re.findall(r"\w+|\(\)", chain)
        found: Found | None = self._module(parts[0])
        for part in parts[1:]:
            if found is None:
                return None
            found = self._result(found) if part == "()" else self._attribute(found, part)
        return found

    def setter(self, chain: str) -> Found | None:
        """Return what takes an assignment to the chain: the __setattr__ of its owner, where that knows the name."""
        owner, _, name = chain.rpartition(".")
        found = self.resolve(owner)
        if found is None or not isinstance(found.node, ast.ClassDef):
            return None
        for statement in found.node.body:
            if isinstance(statement, ast.FunctionDef) and statement.name == "__setattr__":
                where = f"{self._file(found.module)}:{statement.lineno}"
                return Found("setter", where) if _answers(statement, name) else None
        return self.resolve(chain)

    def text(self, text: str) -> Found | None:
        """Return where this text stands as a constant, in Python sources or compiled parts."""
        for name, source in self._sources.items():
            if f'"{text}"' in source or f"'{text}'" in source:
                return Found("text", name)
        return self._in_compiled(text)

    def _file(self, module: str) -> str | None:
        path = module.replace(".", "/")
        return next((name for name in (f"{path}/__init__.py", f"{path}.py") if name in self._sources), None)

    def _module(self, module: str) -> Found | None:
        file = self._file(module)
        if file is not None:
            return Found("module", file, module)
        path = module.replace(".", "/")
        compiled = (name for name in self._compiled if name.split(".")[0] == path)
        return next((Found("compiled", name, module) for name in compiled), None)

    def _in_compiled(self, name: str) -> Found | None:
        """Find a name among the strings of the compiled parts, which is where bindings keep theirs."""
        symbol = b"\0" + name.encode() + b"\0"
        return next((Found("compiled", file) for file, content in self._compiled.items() if symbol in content), None)

    def _attribute(self, found: Found, name: str) -> Found | None:
        if found.kind == "module":
            return self._global(found.module, name, frozenset())
        if found.kind in ("class", "instance") and isinstance(found.node, ast.ClassDef):
            return self._member(found, name)
        if found.kind in ("compiled", "result"):
            return self._in_compiled(name)
        return None

    def _result(self, found: Found) -> Found | None:
        if found.kind == "class":
            return Found("instance", found.where, found.module, found.node)
        if found.kind == "instance":  # an index into an enumeration's member and the like: nothing is known of it
            return None
        return Found("result", found.where)

    def _global(self, module: str, name: str, asked: frozenset[tuple[str, str]]) -> Found | None:
        """Find a global of a module, through imports and aliases."""
        if (module, name) in asked:
            return None
        asked |= {(module, name)}
        bound = self._table(module).get(name)
        if isinstance(bound, tuple):
            source, original = bound
            if not original:
                return self._module(source) or Found("module", f"outside: {source}")
            if self._module(source) is None:
                return Found("value", f"outside: {source}.{original}")
            inside = self._module(f"{source}.{original}") if source == module else None
            return inside or self._global_of(source, original, asked)
        if bound is None:
            return self._starred(module, name, asked) or self._module(f"{module}.{name}")
        return self._defined(module, bound, asked)

    def _global_of(self, source: str, name: str, asked: frozenset[tuple[str, str]]) -> Found | None:
        owner = self._module(source)
        if owner is not None and owner.kind == "compiled":
            return self._in_compiled(name)
        return self._global(source, name, asked) or self._module(f"{source}.{name}")

    def _starred(self, module: str, name: str, asked: frozenset[tuple[str, str]]) -> Found | None:
        for source in sorted(key.removeprefix("*") for key in self._table(module) if key.startswith("*")):
            if self._file(source) is not None and self._exports(source, name):
                found = self._global(source, name, asked)
                if found is not None:
                    return found
        return None

    def _exports(self, module: str, name: str) -> bool:
        """Tell whether ``from module import *`` takes this name."""
        listed = self._table(module).get("__all__")
        if isinstance(listed, (ast.List, ast.Tuple)):
            return name in [one.value for one in listed.elts if isinstance(one, ast.Constant)]
        return not name.startswith("_")

    def _defined(self, module: str, node: ast.AST, asked: frozenset[tuple[str, str]]) -> Found | None:
        file = self._file(module)
        where = f"{file}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.ClassDef):
            return Found("class", where, module, node)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            return Found("function", where, module, node)
        called = isinstance(node, ast.Call)
        source = self._expression(module, node.func if isinstance(node, ast.Call) else node, asked)
        if source is not None and source.kind in ("class", "module", "instance", "function"):
            if not called:
                return source
            if source.kind == "class":
                return Found("instance", where, source.module, source.node)
        return Found("value", where)

    def _expression(self, module: str, node: ast.AST, asked: frozenset[tuple[str, str]]) -> Found | None:
        if isinstance(node, ast.Name):
            return self._global(module, node.id, asked)
        if isinstance(node, ast.Attribute):
            owner = self._expression(module, node.value, asked)
            return None if owner is None else self._attribute(owner, node.attr)
        return None

    def _member(self, found: Found, name: str) -> Found | None:
        """Find a member of a class: defined there, answered by its __getattr__, or inherited."""
        node = found.node
        if not isinstance(node, ast.ClassDef):
            return None
        file = self._file(found.module)
        for statement in node.body:
            if name in _bound(statement):
                kind = "function" if isinstance(statement, ast.FunctionDef) else "value"
                member = found.kind == "class" and kind == "value" and bool(_enumeration(node))
                where = f"{file}:{statement.lineno}"
                return Found("instance", where, found.module, node) if member else Found(kind, where)
            if isinstance(statement, ast.FunctionDef) and statement.name == "__getattr__" and _answers(statement, name):
                return Found("property", f"{file}:{statement.lineno}")
        for base in node.bases:
            inherited = self._expression(found.module, base, frozenset())
            if inherited is not None and inherited.kind == "class":
                return self._member(Found(found.kind, inherited.where, inherited.module, inherited.node), name)
        kind = _enumeration(node)
        return Found("property", f"enum.{kind.__name__}") if kind and hasattr(_Example[kind], name) else None

    def _table(self, module: str) -> dict[str, ast.AST | tuple[str, str]]:
        if module not in self._symbols:
            file = self._file(module)
            package = module if file is not None and file.endswith("__init__.py") else module.rpartition(".")[0]
            self._symbols[module] = _globals(ast.parse(self._sources[file]).body, package) if file else {}
        return self._symbols[module]


class _Integer(enum.IntEnum):
    ONE = 1


class _Plain(enum.Enum):
    ONE = 1


_Example = {enum.IntEnum: _Integer.ONE, enum.Enum: _Plain.ONE}


def _enumeration(node: ast.ClassDef) -> type[enum.Enum] | None:
    names = [base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "") for base in node.bases]
    return next((kind for kind in _Example if kind.__name__ in names), None)


def _answers(getter: ast.FunctionDef, name: str) -> bool:
    """Tell whether a __getattr__ or __setattr__ compares the name it is asked for with this one."""
    compared = (node for node in ast.walk(getter) if isinstance(node, ast.Compare))
    return any(isinstance(side, ast.Constant) and side.value == name for node in compared for side in node.comparators)


def _bound(statement: ast.stmt) -> list[str]:
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [statement.name]
    targets = getattr(statement, "targets", None) or [getattr(statement, "target", None)]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _globals(body: list[ast.stmt], package: str) -> dict[str, ast.AST | tuple[str, str]]:
    """Return what the statements bind, by name: a node, or (module, name in it); ``*module`` for a star."""
    table: dict[str, ast.AST | tuple[str, str]] = {}
    for statement in body:
        if isinstance(statement, ast.Import):
            for alias in statement.names:
                table[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0],
                    "",
                )
        elif isinstance(statement, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - statement.level + 1] if statement.level else []
            source = ".".join([*above, *filter(None, [statement.module])])
            for alias in statement.names:
                key = f"*{source}" if alias.name == "*" else alias.asname or alias.name
                table[key] = (source, alias.name)
        elif isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            table[statement.name] = statement
        elif isinstance(statement, (ast.Assign, ast.AnnAssign)) and statement.value is not None:
            table.update(dict.fromkeys(_bound(statement), statement.value))
        else:  # what stands under an if, a try or a with is bound as well
            for part in ("body", "orelse", "finalbody"):
                table.update(_globals(getattr(statement, part, []), package))
    return table
