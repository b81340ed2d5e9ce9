"""How a user writes a pipeline, and how a child process carries its body out.

Invariant: a step runs inside the child and is asked for at the parent first; the same body, replayed, asks for the same
steps with the same arguments.
"""

import functools
import hashlib
import importlib
import inspect
import os
import random  # noqa: TID251, seeded for the user's code, with a number that the run records
import sys
import typing
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar, get_args, overload

import msgspec

from ratchet.engine.capacity import Demand
from ratchet.engine.child import Child
from ratchet.errors import NoStorer, ParameterUnknown, StepUnusable, UnknownName
from ratchet.loop import datasets, snapshots
from ratchet.loop.references import References, dataset_names
from ratchet.loop.step_keys import Keeping, as_kept
from ratchet.records import Record
from ratchet.store import storers
from ratchet.store.addresses import open_artifacts
from ratchet.store.artifacts import Artifacts
from ratchet.store.formats import extras
from ratchet.store.formats.refusals import LibraryMissing

P = ParamSpec("P")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])
Executor = Literal["local", "ray"]


@dataclass(frozen=True)
class Candidate:
    """What a pipeline returns: a model that asks to be let through the gate.

    Attributes:
        model: A fitted estimator.
        holdout: Rows with label that the model has not seen, as a data frame.
        label: The label's column in the holdout.
        inputs: The model's input columns; all of the holdout's that are named in the model, where not given.
    """

    model: Any
    holdout: Any
    label: str
    inputs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Step:
    """What a project says about one of its steps.

    Attributes:
        cache: Whether another run may take its result; ``None`` where that is found out.
        executor: Who carries it out: the run's own process, a process that has what it needs, or Ray.
    """

    name: str
    function: Callable[..., Any]
    cache: bool | None = None
    executor: Executor | Literal["worker"] = "local"
    demand: Demand = field(default_factory=Demand)


class PipelineDeclaration(Record, frozen=True):
    """What a project says about one of its pipelines."""

    name: str
    module: str
    function: str
    model: str
    owner: str
    datasets: dict[str, str]
    parameters: dict[str, Any]
    not_applicable: dict[str, str] = msgspec.field(default_factory=dict)
    required: tuple[str, ...] = ()


class RuleDeclaration(Record, frozen=True, omit_defaults=True):
    """What a project says about one of its rules in Python."""

    name: str
    module: str
    function: str
    on: str
    when: str
    leads_to: tuple[str, ...]
    code: str
    at_most: str = ""


class Project(Record, frozen=True):
    """All that a snapshot declares."""

    pipelines: tuple[PipelineDeclaration, ...] = ()
    rules: tuple[RuleDeclaration, ...] = ()


_declared_steps: dict[str, Step] = {}
_declared_pipelines: list[tuple[Callable[..., Any], PipelineDeclaration]] = []
_declared_rules: list[tuple[Callable[..., Any], RuleDeclaration]] = []


# ---- the public decorators


@overload
def step(function: Callable[P, T]) -> Callable[P, T]: ...
@overload
def step(
    *,
    name: str = "",
    cache: bool | None = None,
    resources: dict[str, float] | None = None,
    executor: Executor = "local",
) -> Callable[[Callable[P, T]], Callable[P, T]]: ...
def step(
    function: Callable[P, T] | None = None,
    *,
    name: str = "",
    cache: bool | None = None,
    resources: dict[str, float] | None = None,
    executor: Executor = "local",
) -> Any:
    """Make a function a step: its result is stored, and a run that is taken up again does not compute it twice.

    Outside of a run the function is what it was: call it in a notebook or a test.

    Args:
        function: An ordinary function. Takes and returns data frames, series, arrays, estimators, dataset versions or
            JSON values, and lists and tuples of them.
        name: For the record; the function's own by default.
        cache: Whether another run may take the result where code, arguments, seed and libraries are the same. By
            default one may, unless the step was seen to read something else, such as a file, the clock or the network.
            ``False`` for never; ``True`` says that what else it reads does not change.
        resources: What it needs for itself, of ``cpu``, ``memory_gb`` and ``gpu``: a process that has them carries
            it out.
        executor: ``"ray"`` for a job of its own on the cluster of ``[ray]`` in ``ratchet.toml``.

    Raises:
        StepUnusable: It is no function, or one of which the result cannot be kept.

    Example:
        >>> import ratchet as rt
        >>> @rt.step
        ... def double(number: int) -> int:
        ...     return 2 * number
        >>> double(4)
        8
    """

    def decorate(inner: Callable[P, T]) -> Callable[P, T]:
        _require_function(inner)
        declared = Step(
            name=name or inner.__name__,
            function=inner,
            cache=cache,
            executor="worker" if resources is not None and executor == "local" else executor,
            demand=_demand(inner, resources, executor),
        )
        if declared.executor != "local":
            _declared_steps[_path(inner)] = declared

        @functools.wraps(inner)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
            body = _body.get()
            if body is None:
                _refuse_thread(declared.name)
            if body is None or body.is_inside_step:
                return inner(*args, **kwargs)
            result: T = body.step(declared, args, kwargs)
            return result

        return wrapper

    return decorate if function is None else decorate(function)


def _require_function(function: Any) -> None:
    """Refuse at once what would only fail, or not be kept, in a run."""
    name = getattr(function, "__name__", str(function))
    if not callable(function) or inspect.isclass(function):
        problem = f"it is of type {type(function).__name__} and no function"
        raise StepUnusable(
            step=name, problem=problem, remedy='Write @rt.step, or @rt.step(name="..."), above a function.'
        )
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise StepUnusable(step=name, problem="it is a generator", remedy="Return a list or a data frame, no yield.")
    if inspect.iscoroutinefunction(function):
        raise StepUnusable(step=name, problem="it is asynchronous", remedy="Write it with def, without async.")


def _demand(function: Callable[..., Any], resources: dict[str, float] | None, executor: Executor) -> Demand:
    try:
        demand = msgspec.convert(resources or {}, Demand)
    except msgspec.ValidationError as error:
        remedy = "Allowed are cpu, memory_gb and gpu (a whole number), such as resources={'cpu': 2, 'gpu': 1}."
        raise StepUnusable(step=function.__name__, problem=f"resources: {error}", remedy=remedy) from error
    if executor not in get_args(Executor):
        remedy = "Leave it out, or write executor='ray'."
        raise StepUnusable(step=function.__name__, problem=f"there is no executor '{executor}'", remedy=remedy)
    if "<locals>" in function.__qualname__ and (resources is not None or executor == "ray"):
        problem = "it is made inside another function, where another process would not find it"
        raise StepUnusable(step=function.__name__, problem=problem, remedy="Define it at the top of a module.")
    return demand


def _path(function: Callable[..., Any]) -> str:
    return f"{function.__module__}:{function.__qualname__}"


def _refuse_thread(name: str) -> None:
    """Refuse a step that a body calls in a thread: there it would run without being kept, and nobody would know."""
    if _running and not _running[-1].is_inside_step:
        problem = "the body calls it in a thread of its own, and steps are kept in the order in which they are called"
        raise StepUnusable(step=name, problem=problem, remedy="Call it in the body itself, or take its @rt.step away.")


def pipeline(
    *, model: str, name: str = "", owner: str = "", not_applicable: dict[str, str] | None = None
) -> Callable[[F], F]:
    """Make a function a pipeline.

    Args:
        model: The model that its candidates are versions of; also the endpoint that serves it.
        name: The pipeline's name; the model's by default.
        owner: The team that it belongs to.
        not_applicable: Stages that this pipeline does not have, with the reason, such as
            ``{"label": "outcomes arrive by themselves"}``.
    """

    def decorate(function: F) -> F:
        declaration = PipelineDeclaration(
            name=name or model,
            module=function.__module__,
            function=function.__name__,
            model=model,
            owner=owner,
            datasets=_dataset_parameters(function),
            parameters=_plain_parameters(function),
            not_applicable=not_applicable or {},
            required=_required(function),
        )
        _declared_pipelines.append((function, declaration))
        return function

    return decorate


def rule(
    *, on: str, when: str = "", name: str = "", leads_to: tuple[str, ...] = ("train",), at_most: str = ""
) -> Callable[[F], F]:
    """Make a function a rule: on EVENT when CONDITION it is called with the event and the loop.

    The rule counts as fired when it asks the loop for an action.

    Args:
        on: Short name of an event type, such as ``feedback.joined``.
        when: A condition in CEL, such as ``event.data.rows >= 100``.
        name: The rule's name; the function's by default, with spaces.
        leads_to: The stages that its actions belong to.
        at_most: How often it may fire, such as ``1/day``.
    """

    def decorate(function: F) -> F:
        source = inspect.getsource(function)
        declaration = RuleDeclaration(
            name=name or function.__name__.replace("_", " "),
            module=function.__module__,
            function=function.__name__,
            on=on,
            when=when,
            leads_to=leads_to,
            code=hashlib.sha256(source.encode()).hexdigest(),
            at_most=at_most,
        )
        _declared_rules.append((function, declaration))
        return function

    return decorate


def _dataset_parameters(function: Callable[..., Any]) -> dict[str, str]:
    hints = typing.get_type_hints(function)
    return {name: name for name in inspect.signature(function).parameters if hints.get(name) is datasets.Dataset}


def _plain_parameters(function: Callable[..., Any]) -> dict[str, Any]:
    taken = _dataset_parameters(function)
    return {
        name: (None if parameter.default is inspect.Parameter.empty else parameter.default)
        for name, parameter in inspect.signature(function).parameters.items()
        if name not in taken
    }


def _required(function: Callable[..., Any]) -> tuple[str, ...]:
    """Return the parameters that are no datasets and have no default."""
    found = inspect.signature(function).parameters
    any_number = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return tuple(
        name
        for name in _plain_parameters(function)
        if found[name].default is inspect.Parameter.empty and found[name].kind not in any_number
    )


# ---- in the child: describing a project


def describe(_child: Child, spec: dict[str, Any]) -> dict[str, Any]:
    """Import a snapshot and return what it declares, or which library it lacks; the entry of a child process."""
    try:
        import_snapshot(spec)
    except LibraryMissing as error:
        return {"missing": error.to_fields()}
    found = Project(
        pipelines=tuple(declaration for _, declaration in _declared_pipelines),
        rules=tuple(declaration for _, declaration in _declared_rules),
    )
    values: dict[str, Any] = msgspec.to_builtins(found)
    return values


def import_snapshot(spec: dict[str, Any]) -> Artifacts:
    """Import a snapshot's modules, so that they declare what they have, and return the artifacts.

    Raises:
        LibraryMissing: One of them imports a library that an extra brings, and that is not installed.
    """
    artifacts = open_artifacts(spec["artifacts"])
    snapshots.enter(spec["snapshot"], artifacts, Path(spec["snapshots"]))
    for module in snapshots.modules(artifacts.read(spec["snapshot"])):
        with extras.told(f"{module}.py"):
            importlib.import_module(module)
    return artifacts


def find_function(kind: str, name: str) -> Callable[..., Any]:
    """Return a pipeline's or rule's function from the snapshot that was imported.

    Raises:
        UnknownName: The snapshot declares no such thing.
    """
    declared: list[tuple[Callable[..., Any], Any]] = [*(_declared_pipelines if kind == "pipeline" else _declared_rules)]
    for function, declaration in declared:
        if declaration.name == name:
            return function
    raise UnknownName(kind=kind, name=name, known=", ".join(one.name for _, one in declared) or "none")


# ---- in the child: carrying out a body


class Body:
    """The run of one body: hands steps to the parent and remembers what stands for which value.

    Args:
        child: This process's side of the conversation.
        artifacts: Where results are stored.
        seed: Of the chance that steps draw.
        folder: Where the project's modules lie, as this process imports them.
        is_caching: Whether the parent is told under which keys results may be kept.
    """

    def __init__(
        self,
        child: Child,
        artifacts: Artifacts,
        *,
        seed: int,
        folder: Path | None = None,
        is_caching: bool = False,
    ) -> None:
        self._child = child
        self._artifacts = artifacts
        self._seed = seed
        self._folder = folder
        self._is_caching = is_caching
        self.values = References(artifacts)
        self.is_inside_step = False
        self.is_elsewhere = False

    def step(self, step: Step, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Carry out a step, or take its recorded result."""
        bound = inspect.signature(step.function).bind(*args, **kwargs)
        bound.apply_defaults()
        is_elsewhere = step.executor != "local" and not self.is_elsewhere
        arguments = {key: self.values.refer(value, is_stored=is_elsewhere) for key, value in bound.arguments.items()}
        request = {"name": step.name, "code": code_digest(step.function), "arguments": arguments}
        if is_elsewhere:
            request["elsewhere"] = _elsewhere(step, bound.arguments)
        keeping = self._keeping(step, bound.arguments, arguments) if self._is_caching else None
        if keeping is not None:
            request["cache"] = keeping.asked
        computed: list[Any] = []

        def compute() -> Any:
            self._seed_chance(step.name)
            self.is_inside_step = True
            try:
                watched = keeping.watched() if keeping is not None else nullcontext()
                with extras.told(f"Step '{step.name}'"), watched:
                    result = step.function(*bound.args, **bound.kwargs)
            finally:
                self.is_inside_step = False
            reference = self.values.keep(result)
            computed.extend((as_kept(result), reference))
            return reference

        def note() -> dict[str, Any]:
            return keeping.note(computed[0], lambda: self.values.load(computed[1])) if keeping is not None else {}

        reference = self._child.step(request, compute, note)
        result = computed[0] if computed else self.values.load(reference)
        self.values.remember(result, reference)
        return result

    def _keeping(self, step: Step, arguments: dict[str, Any], references: dict[str, Any]) -> Keeping:
        own = (self._artifacts.folder, *([self._folder] if self._folder else []))
        return Keeping(
            step.name,
            step.function,
            arguments,
            references,
            seed=self._seed,
            own=own,
            folder=self._folder,
            wish=step.cache,
        )

    def _seed_chance(self, name: str) -> None:
        # Both generators that libraries read when nobody gave them a seed.
        number = zlib.crc32(f"{self._seed}/{name}".encode())
        random.seed(number)
        if "numpy" in sys.modules:
            sys.modules["numpy"].random.seed(number)


_body: ContextVar[Body | None] = ContextVar("body", default=None)
# The same for threads, which do not see the variable.
_running: list[Body] = []


def body(child: Child, spec: dict[str, Any]) -> dict[str, Any]:
    """Carry out a pipeline's body and return its candidate by reference; the entry of a child process."""
    artifacts = import_snapshot(spec)
    folder = Path(spec["snapshots"]) / spec["snapshot"]
    function = find_function("pipeline", spec["pipeline"])
    arguments: dict[str, Any] = dict(spec["parameters"])
    for parameter, (name, digest) in spec["datasets"].items():
        arguments[parameter] = datasets.open_version(digest, name=name, artifacts=artifacts)
    unknown = sorted(set(arguments) - set(inspect.signature(function).parameters))
    if unknown:
        known = ", ".join(inspect.signature(function).parameters)
        raise ParameterUnknown(pipeline=spec["pipeline"], name=unknown[0], known=known)
    run = Body(child, artifacts, seed=spec["seed"], folder=folder, is_caching=bool(spec.get("cache")))
    with carrying_out(run):
        with extras.told(f"Pipeline '{spec['pipeline']}'"):
            result = function(**arguments)
        return _ending(run, result)


def step_elsewhere(child: Child, spec: dict[str, Any]) -> None:
    """Carry out one step for the run of another process; the entry of a child process."""
    if spec["gpus"]:
        # Before the user's code loads a library that looks for them.
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, spec["gpus"]))
    artifacts = import_snapshot(spec)
    request, asked = spec["request"], spec["request"]["elsewhere"]
    step = _declared_steps[asked["function"]]
    folder = Path(spec["snapshots"]) / spec["snapshot"]
    run = Body(child, artifacts, seed=spec["seed"], folder=folder, is_caching="cache" in request)
    run.is_elsewhere = True
    given = {name: run.values.given(reference, asked["datasets"]) for name, reference in request["arguments"].items()}
    bound = inspect.BoundArguments(inspect.signature(step.function), OrderedDict(given))
    with carrying_out(run):
        run.step(step, bound.args, bound.kwargs)


def _elsewhere(step: Step, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return what another process needs to know to carry out a step, beside the values."""
    return {
        "executor": step.executor,
        "demand": msgspec.to_builtins(step.demand),
        "function": _path(step.function),
        "datasets": dataset_names(arguments.values()),
    }


@contextmanager
def carrying_out(run: Body) -> Iterator[None]:
    """Let steps be those of a run while the context lasts."""
    token = _body.set(run)
    _running.append(run)
    try:
        yield
    finally:
        _running.remove(run)
        _body.reset(token)


def _ending(run: Body, result: Any) -> dict[str, Any]:
    if not isinstance(result, Candidate):
        return {"candidate": None, "result": run.values.refer(result)}
    extras.require("pandas", what="The holdout of a candidate, which is a data frame,")
    model, holdout = run.values.store(result.model), run.values.store(result.holdout)
    if holdout["storer"] != "frame":
        raise NoStorer(type=type(result.holdout).__name__, known="pandas.DataFrame as holdout")
    names = result.inputs or storers.column_names(result.model)
    if not names:
        names = tuple(name for name in result.holdout.columns if name != result.label)
    return {
        "candidate": {
            "model": model,
            "holdout": holdout,
            "label": result.label,
            "inputs": [_input(result.holdout, name) for name in names],
        }
    }


def _input(holdout: Any, name: str) -> dict[str, str]:
    kind = holdout[name].dtype.kind
    if kind in "iub":
        return {"name": name, "datatype": "INT64", "kind": "number"}
    if kind == "f":
        return {"name": name, "datatype": "FP64", "kind": "number"}
    return {"name": name, "datatype": "BYTES", "kind": "category"}


@functools.cache
def code_digest(function: Callable[..., Any]) -> str:
    """Return a digest of a function's source, 16 hexadecimal digits; read once, for a function is called often."""
    return hashlib.sha256(inspect.getsource(function).encode()).hexdigest()[:16]
