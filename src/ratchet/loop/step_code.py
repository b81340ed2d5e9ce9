"""What a step can reach besides its arguments: its code, what that calls, and the values that they read.

Invariant: two digests are equal only where everything that was reached is; what cannot be compared by its value stands
for the whole file that it comes from, with all files of the project that this one imports.
"""

import ast
import builtins
import contextlib
import copyreg
import dis
import functools
import hashlib
import inspect
import itertools
import linecache
import os
import site
import sys
import sysconfig
import types
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

# Attributes by which code asks for something that no digest of ours covers, and what they stand for.
_WORLD = {
    "now": "the clock",
    "utcnow": "the clock",
    "today": "the clock",
    "environ": "the environment",
    "getenv": "the environment",
    "urandom": "chance that no seed reaches",
    **dict.fromkeys(("read_sql", "read_sql_query", "read_sql_table", "read_gbq"), "a database"),
    **dict.fromkeys(("read_parquet", "read_feather", "read_orc", "read_hdf"), "files"),
}
# Modules of which anything does so. Those of databases open files and connections in C, where nobody sees it.
_WORLDLY = {
    "time": "the clock",
    "secrets": "chance that no seed reaches",
    "uuid": "chance that no seed reaches",
    **dict.fromkeys(("socket", "urllib", "http", "ftplib", "requests", "httpx", "aiohttp", "boto3"), "the network"),
    **dict.fromkeys(("subprocess", "paramiko"), "other programs"),
    **dict.fromkeys(("sqlite3", "sqlalchemy", "psycopg", "psycopg2", "asyncpg", "pymysql", "pyodbc"), "a database"),
    **dict.fromkeys(("duckdb", "pymongo", "redis", "snowflake", "adbc_driver_manager"), "a database"),
    **dict.fromkeys(("pyarrow", "fastparquet", "polars", "fsspec", "s3fs"), "files"),
}
# By these code may reach what its text does not name.
_DYNAMIC = {"eval", "exec", "compile", "globals", "__import__", "import_module", "exec_module"}
_PLAIN = (bool, int, float, complex, str, bytes, type(None), type(Ellipsis), type(NotImplemented))
_LIMIT_COUNT = 50_000


class OutOfReach(Exception):
    """It cannot be told what a step depends on; the text says why."""


def digest_of_code(function: Callable[..., Any], *, folder: Path | None = None, is_trusted: bool = False) -> str:
    """Return a digest of all that a function can reach besides its arguments, as 64 hexadecimal digits.

    Functions of the project count with their text, transitively, and so do the values of the names that they read.
    Libraries count by their names: their versions belong into the key beside this.

    Args:
        function: A function of the project.
        folder: Where the project's modules lie: what these do at their import counts as well.
        is_trusted: Let pass what asks for the clock, the environment and the like.

    Raises:
        OutOfReach: It asks for something that has no digest.
    """
    reach = _Reach(is_trusted=is_trusted)
    found = reach.visit(function, home="")
    return _hash(found, *(reach.effects(folder) if folder else ())).hex()


def installed_libraries() -> list[str]:
    """Return what is installed, such as ``numpy-2.4.6.dist-info``, sorted; each place is looked through once."""
    found: set[str] = set()
    for folder in sys.path:
        # A part of the path may be missing, or be a file.
        with contextlib.suppress(OSError):
            found.update(_installed(folder or ".", Path(folder or ".").stat().st_mtime_ns))
    return sorted(found)


@functools.cache
def _installed(folder: str, _changed_ns: int) -> tuple[str, ...]:
    """Look through one place; an installation changes it, and a child is forked from a process that lives for long."""
    names = [entry.name for entry in Path(folder).iterdir()]
    return tuple(name for name in names if name.endswith((".dist-info", ".egg-info")))


class _Reach:
    """One walk over what a function can reach."""

    def __init__(self, *, is_trusted: bool) -> None:
        self._is_trusted = is_trusted
        self._digests: dict[int, bytes] = {}
        # What was visited is kept, so that its id cannot become another value's.
        self._kept: list[Any] = []
        self._modules: set[tuple[str, tuple[str, ...]]] = set()

    def visit(self, value: Any, *, home: str) -> bytes:
        """Return the digest of a value.

        Args:
            value: Anything.
            home: The module in which it was found.
        """
        if type(value) in _PLAIN:
            return _hash(type(value).__name__, repr(value))
        if id(value) in self._digests:
            return self._digests[id(value)]
        if len(self._kept) >= _LIMIT_COUNT:
            raise OutOfReach(f"it reaches more than {_LIMIT_COUNT} values")
        self._digests[id(value)] = _hash("again", str(len(self._kept)))
        self._kept.append(value)
        try:
            found = self._visit(value, home)
        except RecursionError as error:
            raise OutOfReach(f"what it reaches by {home} is nested too deeply") from error
        self._digests[id(value)] = found
        return found

    def _visit(self, value: Any, home: str) -> bytes:  # noqa: PLR0911, one line a kind
        if isinstance(value, types.ModuleType):
            return self._module(value, ())
        if isinstance(value, types.FunctionType):
            return self._function(value)
        if isinstance(value, type):
            return self._class(value)
        if isinstance(value, types.MethodType):
            return _hash("method", self.visit(value.__func__, home=home), self.visit(value.__self__, home=home))
        if isinstance(value, types.BuiltinFunctionType):
            return self._builtin(value, home)
        if isinstance(value, staticmethod | classmethod):
            return _hash(type(value).__name__, self.visit(value.__func__, home=home))
        if isinstance(value, property):
            return _hash("property", *self._all((value.fget, value.fset, value.fdel), home))
        if isinstance(value, functools.partial):
            return _hash("partial", *self._all((value.func, value.args, value.keywords), home))
        if type(value) in (list, tuple):
            return _hash(type(value).__name__, *self._all(value, home))
        if type(value) is dict:
            return _hash("dict", *(part for pair in value.items() for part in self._all(pair, home)))
        if type(value) in (set, frozenset):
            return _hash(type(value).__name__, *sorted(self._all(value, home)))
        if type(value).__module__ == "numpy" and type(value).__name__ == "ndarray" and not value.dtype.hasobject:
            return _hash("array", value.dtype.str, repr(value.shape), value.tobytes())
        return self._object(value, home)

    def _all(self, values: Iterable[Any], home: str) -> list[bytes]:
        return [self.visit(one, home=home) for one in values]

    # ---- functions and classes

    def _function(self, function: types.FunctionType) -> bytes:
        cells = [cell.cell_contents for cell in function.__closure__ or () if _is_filled(cell)]
        home = str(function.__globals__.get("__name__") or "")
        if is_library(function.__code__.co_filename):
            self._refuse_worldly(home.partition(".")[0], function.__name__)
            # A library's wrapper, such as ours around a step, may hold a function of the project.
            held = [one for one in (*cells, getattr(function, "__wrapped__", None)) if callable(one)]
            return _hash("library", home, function.__qualname__, *self._all(held, home))
        names = _Names.of(function.__code__)
        self._refuse(names)
        parts = [_hash(_text_of(function.__code__))]
        parts += self._all((function.__defaults__, function.__kwdefaults__, *cells), home)
        for name in names.variables:
            if name in function.__globals__:
                parts.append(_hash(name, self._named(function.__globals__[name], names.attributes, home)))
        for module in _meant(names, package=str(function.__globals__.get("__package__") or "")):
            parts.append(_hash(module, self._import(module, names.attributes)))
        return _hash("function", function.__qualname__, *parts)

    def _named(self, value: Any, names: tuple[str, ...], home: str) -> bytes:
        """Return the digest of what a name stands for; of a module, also of what the names after it stand for."""
        if isinstance(value, types.ModuleType):
            return self._module(value, names)
        return self.visit(value, home=home)

    def _builtin(self, value: types.BuiltinFunctionType, home: str) -> bytes:
        owner = value.__self__
        if owner is None or isinstance(owner, types.ModuleType):
            self._refuse_worldly((value.__module__ or "").partition(".")[0], value.__name__)
            return _hash("builtin", value.__module__ or "", value.__qualname__)
        return _hash("builtin", value.__qualname__, self.visit(owner, home=home))

    def _class(self, cls: type) -> bytes:
        file = getattr(sys.modules.get(cls.__module__), "__file__", None)
        if file is None or is_library(file):
            self._refuse_worldly(cls.__module__.partition(".")[0], cls.__name__)
            return _hash("library", cls.__module__, cls.__qualname__)
        parts = [_hash(_text_of(cls)), *self._all(cls.__bases__, cls.__module__)]
        kinds = (types.FunctionType, staticmethod, classmethod, property, type, list, tuple, dict, set, *_PLAIN)
        for name, value in sorted(vars(cls).items()):
            if isinstance(value, kinds) and name not in ("__annotations__", "__doc__", "__firstlineno__"):
                parts.append(_hash(name, self.visit(value, home=cls.__module__)))
        return _hash("class", cls.__qualname__, *parts)

    def _object(self, value: Any, home: str) -> bytes:
        wrapped = getattr(value, "__wrapped__", None)
        if callable(value) and wrapped is not None:
            return _hash("wrapper", type(value).__qualname__, self.visit(wrapped, home=home))
        if type(value).__module__ == "logging":
            return _hash("logger")
        try:
            # What copying an object needs says what it consists of.
            registered = copyreg.dispatch_table.get(type(value))
            reduced = registered(value) if registered else value.__reduce_ex__(4)
        except Exception:  # noqa: BLE001, whatever a class of somebody's raises: then the object stands for its file
            return _hash("opaque", *self._all((type(value),), home), _files(home))
        if isinstance(reduced, str):
            return _hash("named", type(value).__qualname__, reduced)
        pieces = [list(piece) if isinstance(piece, Iterator) else piece for piece in reduced]
        return _hash("object", *self._all(pieces, home))

    # ---- modules

    def _module(self, module: types.ModuleType, names: tuple[str, ...]) -> bytes:
        """Return the digest of a module: of the project its whole file, and the values of names that are asked for."""
        file = getattr(module, "__file__", None)
        if file is None or is_library(file):
            self._refuse_worldly(module.__name__.partition(".")[0], module.__name__)
            return _hash("library", module.__name__)
        parts = []
        if (module.__name__, names) not in self._modules:
            self._modules.add((module.__name__, names))
            known = vars(module)
            parts = [_hash(one, self._named(known[one], names, module.__name__)) for one in names if one in known]
        return _hash("module", module.__name__, _files(module.__name__), *parts)

    def _import(self, name: str, names: tuple[str, ...]) -> bytes:
        """Return the digest of a module that a function imports while it runs."""
        self._refuse_worldly(name.partition(".")[0], name)
        if name in sys.modules:
            return self._module(sys.modules[name], names)
        file = _file_of(name)
        if file is None:
            return _hash("library", name)
        for code in _codes(compile(file.read_bytes(), str(file), "exec")):
            self._refuse(_Names.of(code))
        return _hash("module", name, _files(name))

    def effects(self, folder: Path) -> Iterator[bytes]:
        """Return digests of what modules do at their import besides giving names to things, such as an option set."""
        for name, module, file in _modules_below(str(folder) + os.sep):
            for text, names in _statements(Path(file)):
                found = [vars(module)[one] for one in names if one in vars(module)]
                called = [one for one in found if isinstance(one, types.FunctionType | types.MethodType | type)]
                yield _hash(name, text, *self._all(called, name))

    # ---- what has no digest

    def _refuse(self, names: "_Names") -> None:
        if self._is_trusted:
            return
        for name in (*names.variables, *names.attributes):
            if name in _WORLD:
                raise OutOfReach(f"it reads {_WORLD[name]} ({name})")
        dynamic = _DYNAMIC & {*names.variables, *(one for one in names.attributes if not hasattr(builtins, one))}
        if dynamic or ("modules" in names.attributes and "sys" in names.variables):
            raise OutOfReach(f"it may reach anything by '{min(dynamic, default='sys.modules')}'")

    def _refuse_worldly(self, top: str, name: str) -> None:
        if not self._is_trusted and top in _WORLDLY:
            raise OutOfReach(f"it may read {_WORLDLY[top]} ({name})")


# ---- text


def _text_of(thing: types.CodeType | type) -> str:
    """Return the source of a piece of code, or what it was compiled to where it has none."""
    if isinstance(thing, types.CodeType) and thing.co_filename.startswith("<"):
        return f"{thing.co_code.hex()} {[one for one in thing.co_consts if type(one) in _PLAIN]!r} {thing.co_names!r}"
    try:
        return _source_of(thing) if isinstance(thing, types.CodeType) else inspect.getsource(thing)
    except (OSError, TypeError) as error:
        name = thing.co_name if isinstance(thing, types.CodeType) else thing.__qualname__
        raise OutOfReach(f"the source of {name} cannot be read") from error


# By the number of a piece of code, which is kept beside its text so that no other one can get that number.
_sources: dict[int, tuple[types.CodeType, str]] = {}


def _source_of(code: types.CodeType) -> str:
    """Return what ``inspect.getsource`` would, without its walk over all modules, which takes longer than many a step.

    Raises:
        OSError: The file is not there, or has become shorter.
    """
    if id(code) not in _sources:
        linecache.checkcache(code.co_filename)
        lines = linecache.getlines(code.co_filename)[code.co_firstlineno - 1 :]
        if not lines:
            raise OSError(f"{code.co_filename} has no line {code.co_firstlineno}")
        _sources[id(code)] = code, "".join(inspect.getblock(lines))
    return _sources[id(code)][1]


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    """Return a function's code and that of the functions written in it."""
    yield code
    for one in code.co_consts:
        if isinstance(one, types.CodeType):
            yield from _codes(one)


class _Names(NamedTuple):
    """The names in a piece of code and in the functions written in it, each sorted.

    Attributes:
        variables: Those that are looked up in the module.
        attributes: Those that come after a dot, or behind ``from x import``.
        imports: Modules that are imported when the code runs.
    """

    variables: tuple[str, ...]
    attributes: tuple[str, ...]
    imports: tuple[str, ...]

    @classmethod
    def of(cls, code: types.CodeType) -> "_Names":
        """Return the names in a piece of code, read off it once."""
        if id(code) not in _names:
            _names[id(code)] = code, cls._read(code)
        return _names[id(code)][1]

    @classmethod
    def _read(cls, code: types.CodeType) -> "_Names":
        found: dict[str, set[str]] = {"variables": set(), "attributes": set(), "imports": set()}
        for one in _codes(code):
            for instruction in dis.get_instructions(one):
                kind = _OPERATIONS.get(instruction.opname)
                if kind:
                    found[kind].add(str(instruction.argval))
        return cls(*(tuple(sorted(found[kind])) for kind in cls._fields))


# As for the sources.
_names: dict[int, tuple[types.CodeType, _Names]] = {}
_OPERATIONS = {
    **dict.fromkeys(("LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL", "DELETE_GLOBAL"), "variables"),
    **dict.fromkeys(("LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER_ATTR", "STORE_ATTR", "IMPORT_FROM"), "attributes"),
    "IMPORT_NAME": "imports",
}


def _meant(names: _Names, *, package: str) -> list[str]:
    """Return the modules that imports inside a function may mean: one too many does no harm."""
    found = {one for name in names.imports for one in _candidates(name, package, names.attributes)}
    return sorted(name for name in found if name in names.imports or name in sys.modules or _file_of(name))


def _candidates(name: str, package: str, members: Iterable[str]) -> Iterator[str]:
    """Return what an import may mean: seen from the top or from each package above, and members that are modules."""
    parents = [""] + [".".join(package.split(".")[: depth + 1]) for depth in range(len(package.split(".")))]
    for parent in dict.fromkeys(parents):
        whole = ".".join(part for part in (parent, name) if part)
        pieces = whole.split(".")
        for depth in range(len(pieces)):
            if pieces[depth]:
                yield ".".join(pieces[: depth + 1])
        yield from (f"{whole}.{member}" for member in members if whole)


# ---- files


@functools.cache
def _library_folders() -> tuple[str, ...]:
    named = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    folders = [*named, *site.getsitepackages(), site.getusersitepackages(), str(Path(__file__).parents[1])]
    return tuple({form + os.sep for one in folders if one for form in (one, os.path.realpath(one))})


@functools.cache
def is_library(file: str) -> bool:
    """Tell whether a file belongs to Python, to what is installed, or to us: its version stands for it."""
    return file.startswith(("<frozen", *_library_folders())) or os.path.realpath(file).startswith(_library_folders())


def _modules_below(folder: str) -> list[tuple[str, types.ModuleType, str]]:
    """Return the modules whose files lie below a folder, by name, with these files."""
    # A child can import the project only once the snapshot was unpacked for it, and it knows this module by then. To
    # look at each of the thousands of modules that came before takes longer than many a step.
    names = _names_since(__name__)
    modules = [(name, sys.modules.get(name)) for name in names]
    found = [(name, module, getattr(module, "__file__", None)) for name, module in modules if module is not None]
    return sorted(
        ((name, module, file) for name, module, file in found if file and file.startswith(folder)),
        key=lambda one: one[0],
    )


def _names_since(known: str) -> list[str]:
    """Return the names of the modules that came after a known one, the latest first."""
    try:
        # Not by a list of all: in a forked process each name that is touched has its page copied.
        return list(itertools.takewhile(lambda name: name != known, reversed(sys.modules)))
    except RuntimeError:  # another thread imported something meanwhile
        return list(itertools.takewhile(lambda name: name != known, reversed(list(sys.modules))))


def _file_of(name: str) -> Path | None:
    """Return the file of one of the project's modules, without importing it; ``None`` of a library's."""
    loaded = getattr(sys.modules.get(name), "__file__", None)
    if loaded is not None:
        return None if is_library(loaded) else Path(loaded)
    inner = Path(*name.split("."))
    for folder in sys.path:
        start = Path(folder or ".")
        for file in (start / inner.with_suffix(".py"), start / inner / "__init__.py"):
            if file.is_file():
                return None if is_library(str(file)) else file
    return None


def _files(module: str) -> bytes:
    """Return a digest of a module's file and of all files of the project that it imports, however indirectly."""
    found: dict[str, bytes] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        file = _file_of(name) if name and name not in found else None
        if file is not None:
            found[name], imported = _read(file, name)
            waiting += imported
    return _hash(*(_hash(name, digest) for name, digest in sorted(found.items())))


@functools.cache
def _read(file: Path, module: str) -> tuple[bytes, frozenset[str]]:
    """Return the digest of a file, and the modules that it may import, in whichever place."""
    content = file.read_bytes()
    found: set[str] = set()
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(content)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found.update(_candidates(alias.name, "", ()))
        elif isinstance(node, ast.ImportFrom):
            members = [alias.name for alias in node.names]
            found.update(_candidates(node.module or "", package if node.level else "", members))
    return _hash(content), frozenset(found)


@functools.cache
def _statements(file: Path) -> list[tuple[str, tuple[str, ...]]]:
    """Return a file's statements that are more than a definition: their text and the names in them."""
    found = []
    for node in ast.parse(file.read_bytes()).body:
        if not _is_definition(node):
            names = {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
            found.append((ast.unparse(node), tuple(sorted(names))))
    return found


def _is_definition(node: ast.stmt) -> bool:
    if isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return all(isinstance(target, ast.Name | ast.Tuple | ast.List) for target in targets)
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    if isinstance(node, ast.If):
        # What a file does when it is a program is not done when it is imported.
        return ast.unparse(node.test) in ("__name__ == '__main__'", "'__main__' == __name__") and not node.orelse
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom)


def _hash(*parts: bytes | str) -> bytes:
    digest = hashlib.sha256()
    for part in parts:
        content = part.encode(errors="surrogatepass") if isinstance(part, str) else part
        digest.update(len(content).to_bytes(8) + content)
    return digest.digest()


def _is_filled(cell: types.CellType) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:
        return False
    return True
