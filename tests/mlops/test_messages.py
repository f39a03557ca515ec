"""What the chapter says of bad input: each row is a call, and words that its error has to hold."""

# ruff: noqa: E501 (a row of a table is a line)

import numpy as np
import pytest

import tinytorch.core.mlops as mlops
from tinytorch.core.dataloader import ArrayDataset
from tinytorch.core.networks import create_mlp

PYTHON_S = (
    "object has no attribute",
    "object is not",
    "could not convert",
    "interpreted as an integer",
    "unsupported operand",
    "not supported between",
    "unpack",
    "must match exactly",
    "division by zero",
)

ROWS = """
fingerprint(3)                            fingerprint: 3 is no dictionary from names to arrays
fingerprint({"w": None})                  fingerprint of w: these are not numbers
architecture(3)                           architecture: 3 is no layer that can be written down
rebuild(3)                                rebuild: 3 describes no layer
publish({}, "x")                          publish: there is nothing to put into x
Registry(3)                               Registry: 3 is no directory
registry.register(3, x)                   register: 3 is no network. ... the model first
registry.register(model, "a")             register: reference: these are not numbers
registry.register(model, x, metrics={"accuracy": "a"})  register: metrics are {'accuracy': 'a'}. Expected a dictionary from names to numbers
registry.register(model, x, metrics={"loss": float("inf")})  not all finite: this model should not be kept
registry.register(model, x, metrics=3)    register: metrics are 3
registry.register(model, x, data=3)       register: data is 3. Expected the ArrayDataset
registry.register(model, x, seed="a")     register: seed is 'a'; it has to be an integer
registry.register(model, x, bounds=(1, 0))  register: bounds are (1, 0). ... the least first
registry.register(model, x, bounds=3)     register: bounds are 3
registry.register(model, x, parent="v9")  there is no version 'v9'
registry.load(None)                       there is no version None
registry.promote(3)                       there is no version 3 ... There are: v1
registry.current()                        nothing is promoted ... registry.promote('v1')
registry.rollback()                       no intact version to go back to
psi("a", [1])                             psi: these are not numbers
psi([1, -1], [1, 1])                      psi: ... at least 0
psi([1, 2], [1, 2, 3])                    psi: the counts have shapes (2,) and (3,)
psi([], [])                               psi: ... no samples
ks_statistic("a", [1.0])                  ks_statistic: these are not numbers
ks_statistic([1.0, float("nan")], [1.0])  ks_statistic: entry [1] is nan
ks_statistic(x, x)                        ks_statistic: the samples have shapes (3, 3) and (3, 3)
ks_p_values(x, x[:, :2])                  ks_p_values: the inputs have shapes (3, 3) and (3, 2)
any_drift(x, x[0])                        the inputs have shapes (3, 3) and (3,)
binomial_tail("a", 3)                     binomial_tail: 'a' successes in 3 trials cannot be
domain_classifier_p_value(x, x[:, :2])    domain_classifier_p_value: the inputs have shapes
domain_classifier_p_value(x[:1], x)       too small. Expected at least two in each
list(resampled(x, 3, 1, 1))               resampled: 3 and 1 inputs were asked for, without overlap, of 3
Alarm("a")                                Alarm: patience is 'a'; it has to be an integer of at least 1
Monitor(x, x, window=True)                Monitor: window is True
Monitor("a", x)                           Monitor: reference: these are not numbers
Monitor(x, x).add(np.ones((2, 5)), np.ones((2, 3)))  Monitor: inputs: ... (2, 5)
Monitor(x, x).add(np.ones((2, 3)), np.ones((1, 3)))  Monitor: there are 2 inputs and 1 outputs
class_probabilities(3, x)                 class_probabilities: the model is 3
class_probabilities(model, x[0])          the inputs have shape (3,)
class_probabilities(model, "a")           class_probabilities: these are not numbers
sign_test([1, 0], [0, 1])                 sign_test: expected True or False
rights(model, 3)                          rights: 3 is no ArrayDataset
decide([True], [True, False])             sign_test: expected True or False for the same inputs
retrain(3, data, data)                    retrain: 3 is no Registry
routed("anna", "v2", None)                routed: fraction is None
routed("anna", "v2", float("nan"))        routed: fraction is nan
fisher_test(3, 2, 1, 1)                   fisher_test: 3 right of 2 and 1 of 1 cannot be
Service(3)                                Service: 3 is no Registry
Service(registry, mode="both")            Service: mode is 'both', but it has to be 'shadow' or 'canary'
load_test("https://x", ["{}"], None)      load_test: the address is 'https://x' ... http://HOST:PORT
load_test("http://x", [], None)           there are 0 bodies
varint(1.5)                               varint: 1.5 is no whole number
varint(2**64)                             varint: this number does not fit into 64 bits. Expected one from -2**63
export_onnx(3, "x.onnx", (3,))            export_onnx: expected export_onnx(model, path)
export_onnx(model, "nowhere/x.onnx", (3,))  export_onnx: there is no directory nowhere
export_onnx(model, "x.onnx", 3)           export_onnx: input_shape is 3
export_onnx(model, "x.onnx", (4,))        Dense(3, 4) got 4 features
"""


def rows():
    """Call and words of each row; two spaces part the two."""
    for line in ROWS.strip().splitlines():
        call, _, words = line.partition("  ")
        yield pytest.param(call.strip(), words.strip(), id=call.strip())


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """Everything that the chapter exports, and a few values to try it on."""
    x = np.eye(3, dtype=np.float32)
    registry, model = mlops.Registry(tmp_path_factory.mktemp("registry")), create_mlp(3, [4], 2, rng=0)
    registry.register(model, x)
    data = ArrayDataset(x, np.arange(3))
    return {**vars(mlops), "np": np, "x": x, "model": model, "registry": registry, "data": data}


@pytest.mark.parametrize("call, words", [*rows()])
def test_messages(call, words, names, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((TypeError, ValueError, OSError, mlops.RegistryError)) as caught:
        eval(call, names)
    said = str(caught.value)
    assert [part for part in words.split(" ... ") if part not in said] == [], said
    assert not any(text in said for text in PYTHON_S), said
    assert names["registry"].names() == ["v1"]
