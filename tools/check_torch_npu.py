"""Check that every part of torch_npu that snellen uses exists in a wheel of it, without importing the wheel.

    python tools/check_torch_npu.py torch_npu-2.9.0-*.whl torch_npu-2.13.0-*.whl

In: wheels (``pip download torch_npu==2.9.0 --no-deps``). Out: a table with one line for each attribute and option, read
from snellen's own source, and where the wheel defines it. Exit codes: 0 everything is there; 1 something is not, or
could not be followed; 2 wrong usage.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from pathlib import Path
from zipfile import BadZipFile

from torch_npu_wheel import Found, Wheel

SOURCE = Path(__file__).parent.parent / "src" / "snellen"
PACKAGE = "torch_npu"
MARK = "torch_npu.simulated"  # snellen's own stand-in has it, so the real one must not
OPTIONS = "_OPTIONS"  # where a source file lists the options it sets, with their values
SHOWN = re.compile(r"torch\.npu(\.[A-Za-z_]\w*)+")  # names that are shown to users have to exist too
OPTION_USERS = ("set_option", "_npu_getOption", "_npu_setOption")


class Uses(ast.NodeVisitor):
    """The chains of attributes that start at torch_npu in one file; ``()`` stands for what a call or an index gives."""

    def __init__(self, tree: ast.Module) -> None:
        self.chains: set[str] = set()
        self.stored: set[str] = set()
        self.passed: set[str] = set()  # handed to somebody, who may use more of it than can be seen here
        self.options: dict[str, tuple[str, ...]] = {}
        self.unread: set[str] = set()  # calls whose option cannot be told from the source
        self._scopes: list[dict[str, str]] = [{}]
        self._constants: dict[str, str] = {}
        self._importers = {d.name for d in ast.walk(tree) if isinstance(d, ast.FunctionDef) and _imports(d)}
        for statement in tree.body:
            self._constant(statement)
        self.visit(tree)

    def _constant(self, statement: ast.stmt) -> None:
        if not isinstance(statement, ast.Assign) or not isinstance(statement.targets[0], ast.Name):
            return
        name = statement.targets[0].id
        if isinstance(statement.value, ast.Constant) and isinstance(statement.value.value, str):
            self._constants[name] = statement.value.value
        elif name == OPTIONS:
            self.options = ast.literal_eval(statement.value)

    def chain(self, node: ast.AST) -> str | None:
        """Return what the expression is of torch_npu, or None."""
        if isinstance(node, ast.Name):
            known = (scope[node.id] for scope in reversed(self._scopes) if node.id in scope)
            return next(known, PACKAGE if node.id == PACKAGE else None)
        if isinstance(node, ast.Attribute):
            if isinstance(node.value, ast.Name) and (node.value.id, node.attr) == ("torch", "npu"):
                return f"{PACKAGE}.npu"
            return _joined(self.chain(node.value), f".{node.attr}")
        if isinstance(node, ast.Subscript):
            return _joined(self.chain(node.value), "()")
        return self._called(node) if isinstance(node, ast.Call) else None

    def _called(self, node: ast.Call) -> str | None:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name in self._importers or _imports(node):
            return PACKAGE
        if name in ("getattr", "setattr", "hasattr", "delattr") and len(node.args) > 1:
            attribute = node.args[1]
            text = attribute.value if isinstance(attribute, ast.Constant) else "<not a constant>"
            return _joined(self.chain(node.args[0]), f".{text}")
        return _joined(self.chain(node.func), "()")

    def visit(self, node: ast.AST) -> None:
        """Note what the node uses, then look into it."""
        scope = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.GeneratorExp, ast.ListComp))
        if scope:
            self._scopes.append({})
        for generator in getattr(node, "generators", ()):
            self._name(generator.target, _joined(self.chain(generator.iter), "()"))
        if isinstance(node, (ast.Attribute, ast.Call)):
            self._note(node)
        if isinstance(node, ast.Constant) and SHOWN.fullmatch(str(node.value)):
            self.chains.add(PACKAGE + str(node.value).removeprefix("torch"))
        self.generic_visit(node)
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                self._assign(target, node.value)
        if scope:
            self._scopes.pop()

    def _note(self, node: ast.Attribute | ast.Call) -> None:
        chain = self.chain(node)
        if chain is not None:
            self.chains.add(chain.removesuffix("()"))
        if not isinstance(node, ast.Call):
            if chain is not None and isinstance(node.ctx, ast.Store):
                self.stored.add(chain)
            return
        if chain is not None and isinstance(node.func, ast.Name) and node.func.id == "setattr":
            self.stored.add(chain)
        if chain is not None and chain.removesuffix("()").rpartition(".")[2] in OPTION_USERS:
            self._note_option(node, chain)
        reads = isinstance(node.func, ast.Name) and node.func.id in ("getattr", "setattr", "hasattr", "delattr")
        values = [*node.args[reads:], *(keyword.value for keyword in node.keywords)]
        self.passed.update(filter(None, map(self.chain, values)))

    def _note_option(self, node: ast.Call, chain: str) -> None:
        if not chain.endswith("()"):  # getattr(..., "_npu_getOption"): looked up, not called
            return
        argument = node.args[0] if node.args else None
        names = argument.keys if isinstance(argument, ast.Dict) else [argument]
        for name in names:
            text = self._constants.get(name.id, "") if isinstance(name, ast.Name) else ""
            if isinstance(name, ast.Constant):
                text = str(name.value)
            if text not in self.options:
                self.unread.add(f"{chain} in line {node.lineno}: its option is not in {OPTIONS}")

    def _assign(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            if any(isinstance(part, ast.Starred) for part in (*target.elts, *value.elts)):  # which to which is not told
                self.passed.update(filter(None, map(self.chain, value.elts)))
                return
            for one, other in zip(target.elts, value.elts, strict=True):
                self._assign(one, other)
        elif isinstance(target, ast.Name):
            self._name(target, self.chain(value))
        elif (chain := self.chain(value)) is not None:
            self.passed.add(chain)

    def _name(self, target: ast.expr, chain: str | None) -> None:
        if chain is not None and isinstance(target, ast.Name):
            self._scopes[-1][target.id] = chain


def _joined(chain: str | None, end: str) -> str | None:
    return None if chain is None else chain + end


def _imports(node: ast.AST) -> bool:
    """Tell whether a call, or what a function returns, is the import of torch_npu."""
    if isinstance(node, ast.FunctionDef):
        return any(isinstance(n, ast.Return) and n.value is not None and _imports(n.value) for n in ast.walk(node))
    return isinstance(node, ast.Call) and any(isinstance(a, ast.Constant) and a.value == PACKAGE for a in node.args)


def uses_in(files: list[Path]) -> dict[Path, Uses]:
    """Return what each of the files uses, for those that use anything."""
    found = {file: Uses(ast.parse(file.read_text(encoding="utf-8"))) for file in files}
    return {file: uses for file, uses in found.items() if uses.chains or uses.options}


def rows(uses: Uses, wheel: Wheel) -> list[tuple[str, Found | str]]:
    """Return every use with where the wheel defines it, or with what is wrong."""
    checked: list[tuple[str, Found | str]] = []
    for chain in sorted(uses.chains):
        found = wheel.resolve(chain)
        if chain == MARK:
            checked.append((f"{chain} (must not exist)", "EXISTS" if found else Found("absent", "as it must be")))
        elif chain in uses.passed and found is not None and found.kind in ("module", "class", "instance"):
            checked.append((chain, f"a {found.kind} handed on, what is used of it cannot be followed"))
        else:
            checked.append((chain, found or "MISSING"))
    for chain in sorted(uses.stored):
        checked.append((f"{chain} = ...", wheel.setter(chain) or "CANNOT BE SET"))
    for option, values in uses.options.items():
        for text in (option, *values):
            where = wheel.text(text)
            checked.append((f"option {option}" + (f"={text}" if text != option else ""), where or "MISSING"))
    return checked + [(what, "cannot be checked") for what in sorted(uses.unread)]


def main() -> int:
    """Check every wheel; return the exit code."""
    parser = argparse.ArgumentParser(description="Check that what snellen uses of torch_npu exists in its wheels.")
    parser.add_argument("wheels", nargs="+", type=Path, metavar="WHEEL")
    parser.add_argument("--source", action="append", type=Path, metavar="FILE", help="instead of snellen's own files")
    options = parser.parse_args()
    own = [file for file in sorted(SOURCE.rglob("*.py")) if "simulated" not in file.parts]
    used = uses_in(options.source or own)
    if not used:
        parser.error("these files use nothing of torch_npu")
    failed = 0
    for path in options.wheels:
        try:
            wheel = Wheel(path)
        except (OSError, BadZipFile) as error:
            parser.error(f"{path} is no wheel: {error}")
        for file, uses in used.items():
            print(f"\n{path.name}  <-  {file.name}")
            for what, found in rows(uses, wheel):
                failed += isinstance(found, str)
                print(f"  {what:58} {found if isinstance(found, str) else f'{found.kind:9} {found.where}'}")
    print(f"\n{failed} missing" if failed else "\nall there")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
