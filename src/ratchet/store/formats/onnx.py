"""Graphs in the ONNX format, run by onnxruntime.

Invariant: a graph that is kept is whole: none of its numbers lie in another file.
"""

from collections.abc import Iterator
from typing import Any

from ratchet.store.formats.refusals import ModelRefused

NAME = "onnx"
# Field 1, the version of the format, is the first thing in every file.
_START = b"\x08"
_MATRIX = 2
_CLASSES = 2
_TYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(bool)": "bool",
    "tensor(string)": "object",
}


def is_graph(value: Any) -> bool:
    """Tell whether a value is a graph as the library ``onnx`` has it."""
    return type(value).__module__.partition(".")[0] == "onnx" and type(value).__name__ == "ModelProto"


def is_file(value: Any) -> bool:
    """Tell whether a value is the content of an ONNX file."""
    if not isinstance(value, bytes) or not value.startswith(_START):
        return False
    try:
        return bool(_parse(value).graph.node)
    except ImportError:
        return False
    except ModelRefused:
        return False


def dump(graph: Any) -> bytes:
    """Return a graph's bytes.

    Raises:
        ModelRefused: It is not whole, or contradicts itself.
    """
    return dump_file(graph.SerializeToString(deterministic=True))


def dump_file(content: bytes) -> bytes:
    """Return the content of an ONNX file, checked.

    Raises:
        ModelRefused: It is not whole, or contradicts itself.
    """
    import onnx

    graph = _whole(content)
    try:
        onnx.checker.check_model(graph)
    except onnx.checker.ValidationError as error:
        raise ModelRefused(format=NAME, reason=str(error).strip().splitlines()[0].rstrip(".")) from error
    return content


def load(content: bytes) -> Any:
    """Return the graph of these bytes as the library ``onnx`` has it.

    Raises:
        ModelRefused: They are no graph, or one that is not whole.
    """
    return _whole(content)


def load_file(content: bytes) -> bytes:
    """Return the bytes, checked.

    Raises:
        ModelRefused: They are no graph, or one that is not whole.
    """
    _whole(content)
    return content


def open_graph(content: bytes) -> Any:
    """Return the graph of these bytes as a model that predicts from data frames.

    Raises:
        ModelRefused: They are no graph that is whole, or one that takes or gives something else than columns.
    """
    import onnxruntime

    _whole(content)
    options = onnxruntime.SessionOptions()
    # One row is small work; threads that wait for a busy core cost more than they save.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        # The library's errors have no common base.
        reason = f"onnxruntime does not run it: {type(error).__name__}: {error}"
        raise ModelRefused(format=NAME, reason=reason.splitlines()[0].rstrip(".")) from error
    position = _place_of_probabilities(session.get_outputs())
    return Graph(session) if position is None else GraphClassifier(session, position=position)


class Graph:
    """A graph whose first output is a number for each row."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._inputs = session.get_inputs()
        for one in self._inputs:
            if one.type not in _TYPES or len(one.shape) > _MATRIX:
                reason = f"its input '{one.name}' is {one.type} of shape {one.shape}; columns or a matrix are needed"
                raise ModelRefused(format=NAME, reason=reason)
        if len(self._inputs) > 1:
            self.feature_names_in_ = tuple(one.name for one in self._inputs)

    def predict(self, rows: Any) -> Any:
        """Return a number for each row of a data frame, shape ``(rows,)``.

        A graph with one input gets all columns as a matrix, in the order of the frame; one with several inputs gets
        each column by its name.
        """
        import numpy as np

        return np.asarray(self._run(rows)[0], dtype=float).reshape(len(rows), -1)[:, 0]

    def _run(self, rows: Any) -> Any:
        return self._session.run(None, dict(self._feed(rows)))

    def _feed(self, rows: Any) -> Iterator[tuple[str, Any]]:
        if len(self._inputs) == 1:
            only = self._inputs[0]
            yield only.name, _to_array(rows, only)
            return
        for one in self._inputs:
            column = _to_array(rows[one.name], one)
            yield one.name, column.reshape(-1, 1) if len(one.shape) == _MATRIX else column


class GraphClassifier(Graph):
    """A graph that gives probabilities of two classes."""

    def __init__(self, session: Any, *, position: int) -> None:
        super().__init__(session)
        self._position = position
        width = session.get_outputs()[position].shape
        if width and isinstance(width[-1], int):
            self.classes_ = tuple(range(width[-1]))

    def predict_proba(self, rows: Any) -> Any:
        """Return the probabilities of both classes, shape ``(rows, 2)``."""
        import numpy as np

        found = self._run(rows)[self._position]
        if isinstance(found, list):
            # One dictionary a row, from class to probability.
            found = [[row[name] for name in sorted(row)] for row in found]
        return np.asarray(found, dtype=float)

    def predict(self, rows: Any) -> Any:
        """Return the likelier class of each row, shape ``(rows,)``."""
        return self.predict_proba(rows).argmax(axis=1)


def _parse(content: bytes) -> Any:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        return onnx.load_model_from_string(content)
    except DecodeError as error:
        raise ModelRefused(format=NAME, reason="its bytes are no ONNX file") from error


def _whole(content: bytes) -> Any:
    from onnx.external_data_helper import _get_all_tensors, uses_external_data

    graph = _parse(content)
    outside = [tensor.name for tensor in _get_all_tensors(graph) if uses_external_data(tensor)]
    if outside:
        reason = f"the numbers of '{outside[0]}' lie in another file; save it as one file"
        raise ModelRefused(format=NAME, reason=reason)
    return graph


def _place_of_probabilities(outputs: list[Any]) -> int | None:
    """Return which output has the probabilities of classes, or None where numbers are predicted."""
    for position, one in enumerate(outputs):
        is_table = one.type in ("tensor(float)", "tensor(double)") and len(one.shape or []) == _MATRIX
        if one.type.startswith("seq(map(") or (is_table and isinstance(one.shape[1], int) and one.shape[1] >= _CLASSES):
            return position
        if is_table and position and outputs[0].type in ("tensor(int64)", "tensor(string)"):
            # A label first and then a table without a fixed width: what converters give for classifiers.
            return position
    return None


def _to_array(values: Any, one: Any) -> Any:
    import numpy as np

    wanted = _TYPES[one.type]
    if wanted == "object":
        # onnxruntime takes text only, and a missing one is no text.
        return values.where(values.notna(), "").to_numpy(dtype=object)
    return np.ascontiguousarray(values.to_numpy(dtype=wanted))
