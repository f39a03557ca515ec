"""The networks chapter: bad input, edge cases, properties, files that are damaged, PyTorch."""

import io
import os
import pickle
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytorch.core.activations import LeakyReLU, ReLU, Sigmoid, Tanh, relu
from tinytorch.core.layers import Dense, Dropout, LayerNorm, Module
from tinytorch.core.networks import (
    MLP,
    Sequential,
    count_parameters,
    create_mlp,
    dense_with,
    layer_outputs,
    load,
    mlp_parameter_count,
    parity_network,
    relu_interpolation,
    save,
    summary,
)
from tinytorch.core.tensor import Tensor

sizes = st.integers(1, 9)


def values(model):
    """Every parameter's numbers, one after the other."""
    return np.concatenate([np.ravel(p.data) for p in model.parameters()]) if count_parameters(model) else np.zeros(0)


# Sequential


@pytest.mark.parametrize(
    "layers, error, said",
    [
        ([], ValueError, "empty"),
        ((), ValueError, "empty"),
        (None, TypeError, "no list"),
        (5, TypeError, "no list"),
        ({"a": ReLU()}, TypeError, "no list"),
        (Dense(2, 3), TypeError, "brackets"),
        ([Dense], TypeError, "layer 0 is the class Dense"),
        ([Dense(2, 3), ReLU], TypeError, r"ReLU\(\.\.\.\) with parentheses"),
        ([Dense(2, 3), None], TypeError, "layer 1 is None"),
        ([Dense(2, 3), Tensor([1.0])], TypeError, "cannot be called"),
        ([[Dense(2, 3)]], TypeError, "layer 0"),
        ([Dense(2, 3), Dense(4, 5)], ValueError, r"layer 0, Dense\(2, 3\), gives 3 .* layer 1, Dense\(4, 5\), takes 4"),
        ([Dense(2, 3), Dropout(0.1), LayerNorm(3), Tanh(), Dense(4, 5)], ValueError, "layer 4"),
        ([MLP(2, [3], 4), Dense(5, 1)], ValueError, "layer 0, MLP of 3 layers, gives 4"),
    ],
)
def test_lists_that_are_no_network(layers, error, said):
    with pytest.raises(error, match=said):
        Sequential(layers)


def test_layers_given_one_by_one():
    with pytest.raises(TypeError, match="as one list"):
        Sequential(Dense(2, 3), ReLU())


def test_a_layer_that_may_change_the_size_is_not_second_guessed():
    flatten = lambda x: x.reshape(x.shape[0], -1)
    model = Sequential([Dense(2, 3), flatten, Dense(12, 5)])
    assert model(Tensor(np.ones((7, 4, 2)))).shape == (7, 5)


def test_the_error_names_both_layers_and_keeps_its_cause():
    model = Sequential([Dense(2, 3), lambda x: x.T, Dense(4, 5)])
    said = r"layer 2, Dense\(4, 5\), does not take what layer 1, <lambda>, gives"
    with pytest.raises(ValueError, match=said) as caught:
        model(Tensor(np.ones((7, 2))))
    assert "(3, 7)" in str(caught.value)
    assert isinstance(caught.value.__cause__, ValueError)


def test_the_error_of_an_inner_network_says_where():
    model = Sequential([ReLU(), Sequential([Tanh(), Dense(4, 5)])])
    with pytest.raises(ValueError, match="layer 1, Sequential of 2 layers") as caught:
        model(Tensor(np.ones((7, 2))))
    assert "layer 1, Dense(4, 5)" in str(caught.value)


def test_a_refused_layer_is_not_appended():
    model = Sequential([Dense(2, 3)])
    with pytest.raises(ValueError, match="takes 4"):
        model.append(Dense(4, 5))
    with pytest.raises(TypeError, match="class ReLU"):
        model.append(ReLU)
    assert len(model) == 1
    assert model.append(Dense(3, 5)) is model
    assert model(Tensor(np.ones((1, 2)))).shape == (1, 5)


def test_the_list_is_copied_and_the_layers_are_not():
    layers = [Dense(2, 3)]
    model = Sequential(layers)
    layers.append("rubbish")
    assert len(model) == 1
    assert model[0] is layers[0]
    assert model[:1][0] is layers[0]


def test_indexing():
    model = Sequential([Dense(2, 3), ReLU(), Dense(3, 1)])
    assert isinstance(model[1:], Sequential)
    assert list(model) == [model[0], model[1], model[2]]
    assert model[-3] is model[0]
    with pytest.raises(IndexError, match="no layer 3"):
        model[3]
    with pytest.raises(ValueError, match="empty"):
        model[3:]


def test_modes_reach_every_layer():
    model = Sequential([Dropout(0.5), Sequential([Dropout(0.5)])])
    model.eval()
    assert not model[0].training
    assert not model[1][0].training
    model.train()
    assert model[1][0].training


def test_a_printed_network_shows_its_layers_indented():
    model = Sequential([Dense(2, 3), Sequential([ReLU()])])
    assert repr(model) == "Sequential([\n  Dense(2, 3),\n  Sequential([\n    ReLU(),\n  ]),\n])"


# create_mlp


@given(sizes, st.lists(sizes, max_size=3), sizes, st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_an_mlp_counts_what_the_formula_says_and_runs(n, hidden, k, batch):
    model = create_mlp(n, hidden, k, rng=0)
    assert count_parameters(model) == mlp_parameter_count(n, hidden, k) == values(model).size
    assert model(Tensor(np.ones((batch, n)))).shape == (batch, k)
    assert len(model) == 2 * len(hidden) + 1


@pytest.mark.parametrize(
    "arguments, error, said",
    [
        ((4, 8, 3), TypeError, r"expected a list.*\n.*\[128\]"),
        ((4, "8", 3), TypeError, "expected a list"),
        ((4, None, 3), TypeError, "expected a list"),
        ((4, [8, -1], 3), ValueError, r"hidden_sizes\[1\] is -1"),
        ((4, [0], 3), ValueError, r"hidden_sizes\[0\] is 0"),
        ((4, [8.0], 3), TypeError, r"hidden_sizes\[0\] is 8.0"),
        ((True, [8], 3), TypeError, "input_size is True"),
        ((4, [8], 0), ValueError, "output_size is 0"),
        ((4, [8], None), TypeError, "output_size is None"),
        ((4, [8], 3, ReLU()), TypeError, "Give the class"),
        ((4, [8], 3, relu), TypeError, "Give the class"),
        ((4, [8], 3, "relu"), TypeError, "Give the class"),
        ((4, [8], 3, ReLU, Sigmoid()), TypeError, "Give the class"),
        ((4, [8], 3, dict), TypeError, "Give the class"),
    ],
)
@pytest.mark.parametrize("build", [create_mlp, MLP])
def test_sizes_and_activations_that_make_no_mlp(build, arguments, error, said):
    with pytest.raises(error, match=said):
        build(*arguments)


def test_numpy_integers_and_functions_are_welcome():
    model = create_mlp(np.int64(4), (np.int32(8),), 3, activation=lambda: LeakyReLU(0.2))
    assert model(Tensor(np.ones((2, 4)))).shape == (2, 3)


def test_a_seed_makes_the_weights_repeatable_and_leaves_other_generators_alone():
    before = np.random.get_state()[1].copy()
    one, same, other = (create_mlp(4, [8], 3, rng=seed) for seed in (5, 5, 6))
    assert np.array_equal(values(one), values(same))
    assert not np.array_equal(values(one), values(other))
    assert np.array_equal(np.random.get_state()[1], before)
    rng = np.random.default_rng(5)
    assert np.array_equal(values(create_mlp(4, [8], 3, rng=rng)), values(one))
    assert not np.array_equal(values(create_mlp(4, [8], 3, rng=rng)), values(one))


# counting, looking inside


class Block(Module):
    """A module of a student's own, with a parameter of its own name and a network inside."""

    def __init__(self):
        self.inner = Sequential([Dense(3, 3), Dropout(0.5)])
        self.file = Dense(3, 3)

    def forward(self, x):
        return self.file(self.inner(x)) + x


def test_counting_reaches_modules_of_ones_own():
    assert count_parameters(Block()) == 24
    assert count_parameters(Sequential([Block(), ReLU(), Block()])) == 48


def test_the_last_output_is_the_networks():
    model = Sequential([create_mlp(3, [5], 4, rng=0), Tanh(), Block().eval(), Dense(3, 2)][:2])
    x = Tensor(np.random.default_rng(0).normal(size=(6, 3)))
    entries = layer_outputs(model, x)
    assert [name for name, _, _ in entries] == ["0.0", "0.1", "0.2", "1"]
    np.testing.assert_array_equal(entries[-1][2].data, model(x).data)


def test_a_summary_changes_nothing():
    model = Sequential([Dense(3, 3, rng=0), Dropout(0.5, rng=1), Block(), Sequential([Dropout(0.5, rng=2)])])
    model[1].training = False  # modes differ
    twin = Sequential([Dense(3, 3, rng=0), Dropout(0.5, rng=1), model[2], Sequential([Dropout(0.5, rng=2)])])
    modes = [module.training for _, module in model.named_modules()]
    before, state = values(model), np.random.get_state()[1].copy()
    summary(model, (3,), batch_size=4)
    assert np.array_equal(values(model), before)
    assert np.array_equal(np.random.get_state()[1], state)
    assert [module.training for _, module in model.named_modules()] == modes
    assert all(p.grad is None for p in model.parameters())
    drawn = [layer.rng.random() for layer in (model[1], model[3][0])]
    assert drawn == [layer.rng.random() for layer in (twin[1], twin[3][0])]


def test_a_summary_that_fails_changes_nothing():
    model = Sequential([Dropout(0.5), Dense(3, 3)])
    with pytest.raises(ValueError, match=r"Dense\(3, 3\)"):
        summary(model, (4,))
    assert model[0].training


def test_a_summary_counts_a_shared_layer_and_a_handed_on_array_once():
    shared = Dense(4, 4)
    lines = summary(Sequential([shared, Dropout(0.5), shared, lambda x: x.reshape(-1)]), 4, batch_size=2).splitlines()
    assert "shared" in lines[4]
    assert lines[-2] == "20 parameters, 80 bytes"
    assert lines[-1] == "64 bytes of outputs for 2 examples"
    assert "(8,)" in lines[5]


def test_a_summary_lines_up():
    lines = summary(Sequential([Dense(300, 4), ReLU(), Sequential([Dense(4, 1)])]), (300,)).splitlines()
    assert len({len(line) for line in lines[:-2]}) == 1


@pytest.mark.parametrize("shape", [(0,), (-3,), ("3",), (2.5,), None, "3"])
def test_a_summary_needs_the_shape_of_an_example(shape):
    with pytest.raises(ValueError, match="input_shape"):
        summary(Sequential([ReLU()]), shape)


def test_a_summary_needs_a_module():
    with pytest.raises(TypeError, match="no Module"):
        summary(ReLU(), (3,))


# weights by hand


@given(
    st.lists(st.tuples(st.floats(0.1, 2.0), st.floats(-3.0, 3.0)), min_size=2, max_size=9),
    st.lists(st.floats(0.0, 1.0), min_size=1, max_size=9),
    st.floats(-3.0, 3.0),
)
@settings(max_examples=60, deadline=None)
def test_relu_interpolation_is_numpys(points, places, first):
    steps, heights = map(np.array, zip(*points))
    knots = first + np.cumsum(steps)
    x = knots[0] + np.array(places) * (knots[-1] - knots[0])
    network = relu_interpolation(knots, heights)
    np.testing.assert_allclose(network(Tensor(x[:, None])).data[:, 0], np.interp(x, knots, heights), atol=2e-3)


@pytest.mark.parametrize(
    "knots, values",
    [
        ([0.0], [1.0]),
        ([], []),
        ([0.0, 1.0], [1.0]),
        ([1.0, 0.0], [1.0, 2.0]),
        ([[0.0, 1.0]], [[1.0, 2.0]]),
        ([0.0, np.nan], [1.0, 2.0]),
    ],
)
def test_points_that_make_no_curve(knots, values):
    with pytest.raises(ValueError, match="make no curve"):
        relu_interpolation(knots, values)


@pytest.mark.parametrize("switches", range(1, 8))
def test_parity_for_every_setting_of_the_switches(switches):
    settings_ = (np.arange(2**switches)[:, None] >> np.arange(switches)) & 1
    out = parity_network(switches)(Tensor(settings_.astype(np.float32)))
    np.testing.assert_allclose(out.data[:, 0], settings_.sum(axis=1) % 2, atol=1e-5)


@pytest.mark.parametrize("weights, bias", [([1.0], [1.0]), ([[1.0, 2.0]], [1.0]), ([[1.0]], 1.0)])
def test_weights_and_bias_have_to_belong_together(weights, bias):
    with pytest.raises(ValueError, match="dense_with"):
        dense_with(weights, bias)


# files


@pytest.fixture
def saved(tmp_path):
    """A network, and a file that holds it."""
    model, path = Sequential([create_mlp(3, [4], 2, rng=0), LayerNorm(2)]), tmp_path / "model.npz"
    save(model, path)
    return model, path


def fresh():
    return Sequential([create_mlp(3, [4], 2, rng=9), LayerNorm(2)])


@pytest.mark.parametrize(
    "name", ["model.npz", "no suffix", "mein Netz für Ümläute.npz", "モデル.npz", ".hidden", "a.b"]
)
@pytest.mark.parametrize("kind", [str, lambda p: p])
def test_there_and_back(tmp_path, name, kind):
    directory = tmp_path / "with space é"
    directory.mkdir()
    model, again = fresh(), create_mlp(3, [4], 2)
    assert save(model, kind(directory / name)) is None
    assert os.listdir(directory) == [name]
    again = Sequential([again, LayerNorm(2)])
    assert load(again, kind(directory / name)) is again
    assert np.array_equal(values(again), values(model))


def test_a_relative_path(tmp_path, monkeypatch, saved):
    monkeypatch.chdir(tmp_path)
    save(saved[0], "here.npz")
    assert np.array_equal(values(load(fresh(), "here.npz")), values(saved[0]))


def test_numpy_reads_the_file(saved):
    model, path = saved
    with np.load(path, allow_pickle=False) as content:
        assert {name: content[name].shape for name in content.files} == {
            name: np.shape(array) for name, array in model.state_dict().items()
        }


def test_a_module_of_ones_own_with_awkward_names(tmp_path):
    model, again = Block(), Block()
    save(model, tmp_path / "block.npz")
    assert np.array_equal(values(load(again, tmp_path / "block.npz")), values(model))


def test_float64_comes_back_as_the_models_dtype(tmp_path):
    model = Sequential([Dense(2, 2)])
    np.savez(tmp_path / "a.npz", **{k: v.astype(np.float64) for k, v in model.state_dict().items()})
    again = load(Sequential([Dense(2, 2)]), tmp_path / "a.npz")
    assert again[0].weights.dtype == np.float32
    assert np.array_equal(values(again), values(model))


def damaged_files(good):
    """Contents of files that are no network, by what is wrong with them."""

    def npz(**arrays):
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        return buffer.getvalue()

    single = io.BytesIO()
    np.save(single, np.zeros(3))
    foreign_zip = io.BytesIO()
    with zipfile.ZipFile(foreign_zip, "w") as archive:
        archive.writestr("readme.txt", "hello")
    huge = io.BytesIO()
    with zipfile.ZipFile(huge, "w") as archive:
        header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999,), }".ljust(117) + b"\n"
        archive.writestr("layers.0.weights.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    return {
        "empty": b"",
        "text": b"these are no weights",
        "cut short": good[: len(good) // 2],
        "cut at the end": good[:-10],
        "a pickle": pickle.dumps({"layers.0.weights": [1.0]}),
        "a single array": single.getvalue(),
        "objects": npz(**{"layers.0.weights": np.array([{}, None], dtype=object)}),
        "texts": npz(**{"layers.0.weights": np.array(["a", "b"])}),
        "complex numbers": npz(**{k: v.astype(complex) for k, v in fresh().state_dict().items()}),
        "another zip": foreign_zip.getvalue(),
        "an impossible size": huge.getvalue(),
        "no arrays": npz(),
        "other names": npz(w=np.zeros(3)),
    }


@pytest.mark.parametrize("what", damaged_files(b""))
def test_a_file_that_is_no_network_is_refused_whole(saved, what):
    path = saved[1]
    path.write_bytes(damaged_files(path.read_bytes())[what])
    other = fresh()
    before = values(other)
    with pytest.raises(ValueError, match=r"load: .*model\.npz") as caught:
        load(other, path)
    assert "othing was loaded" in str(caught.value)
    assert np.array_equal(values(other), before)


class Trap:
    """An object whose pickle runs code when it is read."""

    def __reduce__(self):
        return os.mkdir, ("trapped",)


@pytest.mark.parametrize("how", ["object array", "pickle"])
def test_reading_a_file_runs_no_code(tmp_path, monkeypatch, how):
    monkeypatch.chdir(tmp_path)
    with open("model.npz", "wb") as file:
        if how == "pickle":
            pickle.dump(Trap(), file)
        else:
            np.savez(file, **{"layers.0.weights": np.array([Trap()], dtype=object)})
    with pytest.raises(ValueError, match="not a file that save wrote"):
        load(fresh(), "model.npz")
    assert os.listdir() == ["model.npz"]


def test_other_shapes_are_refused_whole(saved):
    other = Sequential([create_mlp(3, [4], 3, rng=9), LayerNorm(3)])
    before = values(other)
    with pytest.raises(ValueError, match="does not belong to this network"):
        load(other, saved[1])
    assert np.array_equal(values(other), before)


GOOD = io.BytesIO()
np.savez(GOOD, **fresh().state_dict())


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_flipped_byte_or_a_missing_end_is_noticed_or_harmless(tmp_path_factory, data):
    content = bytearray(GOOD.getvalue())
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content[place] ^= data.draw(st.integers(1, 255))
    else:
        del content[place:]
    path = tmp_path_factory.mktemp("flip") / "model.npz"
    path.write_bytes(content)
    model = Sequential([create_mlp(3, [4], 2, rng=1), LayerNorm(2)])
    before = values(model)
    try:
        load(model, path)
    except ValueError:
        assert np.array_equal(values(model), before)
    else:
        assert np.array_equal(values(model), values(fresh()))


def test_a_missing_file_and_what_is_there_instead(saved):
    with pytest.raises(FileNotFoundError, match=r"no file .*modle\.npz.*there is: model\.npz"):
        load(fresh(), saved[1].with_name("modle.npz"))


def test_a_missing_directory(saved, tmp_path):
    for call in (save, load):
        with pytest.raises(FileNotFoundError, match="no directory"):
            call(saved[0], tmp_path / "nowhere" / "model.npz")


def test_a_directory_in_the_place_of_a_file(saved, tmp_path):
    for call in (save, load):
        with pytest.raises(IsADirectoryError, match="is a directory"):
            call(saved[0], tmp_path)


def test_arguments_in_the_wrong_order(saved):
    model, path = saved
    for call in (save, load):
        with pytest.raises(TypeError, match=rf"{call.__name__}\(model, path\)"):
            call(path, model)


def test_a_write_that_fails_leaves_the_old_file_alone(saved, monkeypatch):
    path = saved[1]
    before = path.read_bytes()

    def no_rename(old, new):
        raise PermissionError("not allowed")

    monkeypatch.setattr(os, "replace", no_rename)
    with pytest.raises(PermissionError):
        save(fresh(), path)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["model.npz"]


# PyTorch


@pytest.mark.parametrize("ours, theirs", [(ReLU, "ReLU"), (Tanh, "Tanh"), (Sigmoid, "Sigmoid")])
def test_the_same_network_in_pytorch(ours, theirs):
    torch = pytest.importorskip("torch")
    model = create_mlp(7, [9, 5], 3, activation=ours, rng=0)
    layers = []
    for layer in model:
        if isinstance(layer, Dense):
            linear = torch.nn.Linear(layer.input_size, layer.output_size)
            with torch.no_grad():
                linear.weight.copy_(torch.from_numpy(layer.weights.data.T.copy()))
                linear.bias.copy_(torch.from_numpy(layer.bias.data.copy()))
            layers.append(linear)
        else:
            layers.append(getattr(torch.nn, theirs)())
    other = torch.nn.Sequential(*layers)
    x = np.random.default_rng(1).normal(size=(32, 7)).astype(np.float32)
    np.testing.assert_allclose(model(x).data, other(torch.from_numpy(x)).detach().numpy(), rtol=1e-4, atol=1e-6)
    assert count_parameters(model) == sum(p.numel() for p in other.parameters())


def test_what_numpy_says_of_pickles_is_not_passed_on(saved):
    """Its advice would be to load the file unsafely."""
    saved[1].write_bytes(b"these are no weights")
    with pytest.raises(ValueError, match=r"no \.npz file") as caught:
        load(fresh(), saved[1])
    assert "allow_pickle" not in str(caught.value)


@pytest.mark.parametrize("switches", [0, -2, 2.5, "a"])
def test_bad_number_of_switches(switches):
    with pytest.raises(ValueError, match="parity_network"):
        parity_network(switches)
