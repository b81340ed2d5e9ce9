"""Graphs: what is kept, what a graph predicts from a data frame, and which graphs are refused."""

from typing import Any

import numpy as np
import onnx as library
import pandas as pd
import pytest
from onnx import TensorProto, helper

from ratchet.store import storers
from ratchet.store.formats import extras, onnx
from ratchet.store.formats.refusals import LibraryMissing, ModelRefused

ROWS = pd.DataFrame({"a": [1.0, -2.0, 0.5], "b": [0.0, 1.0, 2.0], "carrier": ["AA", None, "UA"]})
FLOAT = TensorProto.FLOAT


def graph(nodes: Any, inputs: Any, outputs: Any, tensors: Any = ()) -> Any:
    """Return a graph of nodes."""
    made = helper.make_graph(nodes, "test", inputs, outputs, list(tensors))
    imports = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(made, opset_imports=imports, ir_version=10)


def linear() -> Any:
    """Return a graph that takes a matrix and gives 2a - b + 1."""
    weights = helper.make_tensor("weights", FLOAT, [2, 1], [2.0, -1.0])
    shift = helper.make_tensor("shift", FLOAT, [1], [1.0])
    return graph(
        [helper.make_node("Gemm", ["rows", "weights", "shift"], ["score"])],
        [helper.make_tensor_value_info("rows", FLOAT, [None, 2])],
        [helper.make_tensor_value_info("score", FLOAT, [None, 1])],
        [weights, shift],
    )


def classifier(*, with_dictionaries: bool) -> Any:
    """Return a graph that gives a label and probabilities, as converters write it."""
    weights = helper.make_tensor("weights", FLOAT, [2, 2], [-1.0, 1.0, 0.0, 0.0])
    nodes = [
        helper.make_node("MatMul", ["rows", "weights"], ["score"]),
        helper.make_node("Softmax", ["score"], ["table"], axis=1),
        helper.make_node("ArgMax", ["score"], ["label"], axis=1, keepdims=0),
    ]
    outputs = [helper.make_tensor_value_info("label", TensorProto.INT64, [None])]
    if with_dictionaries:
        nodes.append(helper.make_node("ZipMap", ["table"], ["chances"], domain="ai.onnx.ml", classlabels_int64s=[0, 1]))
        row = helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(FLOAT, []))
        outputs.append(helper.make_value_info("chances", helper.make_sequence_type_proto(row)))
    else:
        outputs.append(helper.make_tensor_value_info("table", FLOAT, [None, None]))
    return graph(nodes, [helper.make_tensor_value_info("rows", FLOAT, [None, 2])], outputs, [weights])


def by_columns() -> Any:
    """Return a graph that takes each column by itself: a, and whether the carrier is AA."""
    return graph(
        [
            helper.make_node("LabelEncoder", ["carrier"], ["code"], domain="ai.onnx.ml", keys_strings=["AA"],
                             values_floats=[10.0], default_float=0.0),
            helper.make_node("Add", ["a", "code"], ["sum"]),
        ],
        [
            helper.make_tensor_value_info("carrier", TensorProto.STRING, [None, 1]),
            helper.make_tensor_value_info("a", FLOAT, [None, 1]),
        ],
        [helper.make_tensor_value_info("sum", FLOAT, [None, 1])],
    )  # fmt: skip


def test_graphs_come_back() -> None:
    """A graph comes back as a graph with the same bytes."""
    name, content = storers.dump(linear())
    back = storers.load(name, content)
    assert (name, type(back)) == ("onnx", library.ModelProto)
    assert storers.dump(back) == (name, content)


def test_files_come_back() -> None:
    """The content of a file comes back as bytes, and other bytes are not taken for one."""
    given = linear().SerializeToString()
    name, content = storers.dump(given)
    assert (name, storers.load(name, content)) == ("onnx-file", given)
    assert [onnx.is_file(one) for one in (b"", b"\x08", b"\x08\x0a", b"PK", "text")] == [False] * 5
    np.testing.assert_allclose(storers.open_model(name, content).predict(ROWS[["a", "b"]]), [3.0, -4.0, 0.0])


def test_a_matrix_gives_numbers() -> None:
    """A graph with one input gets the columns of the frame in their order."""
    opened = storers.open_model(*storers.dump(linear()))
    assert not hasattr(opened, "predict_proba")
    assert storers.column_names(opened) == ()
    np.testing.assert_allclose(opened.predict(ROWS[["a", "b"]]), [3.0, -4.0, 0.0])
    np.testing.assert_allclose(opened.predict(ROWS[["b", "a"]]), [0.0, 5.0, 4.5])


@pytest.mark.parametrize("with_dictionaries", [False, True])
def test_probabilities_are_found(with_dictionaries: bool) -> None:
    """Probabilities are found behind the label, as a table or as a dictionary for each row."""
    opened = storers.open_model(*storers.dump(classifier(with_dictionaries=with_dictionaries)))
    found = opened.predict_proba(ROWS[["a", "b"]])
    np.testing.assert_allclose(found[:, 1], 1 / (1 + np.exp(-2 * ROWS["a"])), rtol=1e-6)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert opened.predict(ROWS[["a", "b"]]).tolist() == [1, 0, 1]


def test_columns_go_to_inputs_by_their_names() -> None:
    """A graph with several inputs gets each column by name; a missing text is an empty one."""
    opened = storers.open_model(*storers.dump(by_columns()))
    assert storers.column_names(opened) == ("carrier", "a")
    np.testing.assert_allclose(opened.predict(ROWS), [11.0, -2.0, 0.5])


def test_numbers_in_another_file_are_refused() -> None:
    """A graph that would read a file beside it is neither stored nor loaded."""
    reading = linear()
    tensor = reading.graph.initializer[0]
    tensor.ClearField("float_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../secret")
    with pytest.raises(ModelRefused, match="'weights' lie in another file"):
        storers.dump(reading)
    with pytest.raises(ModelRefused, match="'weights' lie in another file"):
        storers.open_model("onnx", reading.SerializeToString())


def test_a_graph_that_contradicts_itself_is_refused() -> None:
    """A graph with a node that nothing feeds is refused when it is stored."""
    wrong = linear()
    wrong.graph.node[0].input[0] = "nowhere"
    with pytest.raises(ModelRefused, match="nowhere"):
        storers.dump(wrong)


def test_an_operator_of_nobody_is_refused() -> None:
    """A graph with an operator that the runtime does not have is refused when it is opened."""
    strange = linear()
    strange.opset_import.append(helper.make_opsetid("com.example", 1))
    strange.graph.node[0].domain = "com.example"
    with pytest.raises(ModelRefused, match="onnxruntime does not run it"):
        storers.open_model("onnx", strange.SerializeToString())


def test_an_input_that_is_no_column_is_refused() -> None:
    """A graph that takes pictures is refused when it is opened."""
    pictures = graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        [helper.make_tensor_value_info("x", FLOAT, [None, 3, 8, 8])],
        [helper.make_tensor_value_info("y", FLOAT, [None, 3, 8, 8])],
    )
    with pytest.raises(ModelRefused, match="columns or a matrix"):
        storers.open_model(*storers.dump(pictures))


def test_bytes_that_are_no_graph_are_refused() -> None:
    """Bytes that are no ONNX file are refused in our words."""
    with pytest.raises(ModelRefused, match="no ONNX file"):
        storers.load("onnx", b"nonsense")


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the runtime the message says which extra brings it."""
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "onnxruntime" else name)
    with pytest.raises(LibraryMissing, match=r"needs onnxruntime, .* pip install 'mlratchet\[onnx\]'"):
        storers.load("onnx", b"")
