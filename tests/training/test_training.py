"""The training chapter: losses at their limits, the loop, checkpoints, and what goes wrong."""

import gc
import io
import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytorch.core.activations import ReLU
from tinytorch.core.autograd import Variable, check_gradients, hvp
from tinytorch.core.dataloader import ArrayDataset, DataLoader
from tinytorch.core.layers import Dense, Dropout, Parameter
from tinytorch.core.networks import Sequential, create_mlp
from tinytorch.core.tensor import Tensor
from tinytorch.core.training import (
    Accuracy,
    BinaryCrossEntropyLoss,
    CrossEntropyLoss,
    EarlyStopping,
    GradientDescent,
    History,
    MeanSquaredError,
    NotFiniteError,
    Progress,
    Trainer,
    alignment,
    binary_cross_entropy_composed,
    binary_cross_entropy_with_logits,
    checked_parameters,
    confusion_matrix,
    dead_units,
    evaluate,
    evaluating,
    generators,
    gradient_norms,
    load_checkpoint,
    save_checkpoint,
    snapshot,
    softmax_cross_entropy,
    softmax_cross_entropy_composed,
    train_step,
)


def problem(n=50, classes=2):
    x = np.random.default_rng(0).standard_normal((n, 3)).astype(np.float32)
    scores = x @ np.random.default_rng(1).standard_normal((3, classes)).astype(np.float32)
    return ArrayDataset(x, scores.argmax(axis=1))


def network(seed=0, dropout=0.0):
    rng = np.random.default_rng(seed)
    return Sequential([Dense(3, 8, rng=rng), ReLU(), Dropout(dropout, rng=rng), Dense(8, 2, rng=rng)])


def make_trainer(seed=0, learning_rate=0.3, dropout=0.0, **options):
    model = network(seed, dropout)
    optimizer = GradientDescent(model.parameters(), learning_rate)
    return Trainer(model, optimizer, CrossEntropyLoss(), [Accuracy()], **options)


PAIRS = [
    (softmax_cross_entropy, softmax_cross_entropy_composed, (5, 4), "classes"),
    (binary_cross_entropy_with_logits, binary_cross_entropy_composed, (5, 4), "yes or no"),
]


@pytest.mark.parametrize("fused, composed, shape, kind", PAIRS)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), scale=st.sampled_from([0.1, 1.0, 5.0]))
def test_fused_losses_equal_their_compositions(fused, composed, shape, kind, seed, scale):
    rng = np.random.default_rng(seed)
    z = scale * rng.standard_normal(shape)
    t = Tensor(rng.integers(0, 4, shape[:-1]) if kind == "classes" else rng.integers(0, 2, shape))
    v = rng.standard_normal(shape)
    found = []
    for f in (fused, composed):
        x = Variable(z)
        loss = f(x, t)
        loss.backward()
        found.append((loss.data, x.grad.data, hvp(lambda x: f(x, t), z, v).data))  # noqa: B023
    for a, b in zip(*found):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
    check_gradients(lambda x: fused(x, t), z)


@pytest.mark.parametrize("size", [1e4, -1e4])
def test_losses_at_their_limits(size):
    """Finite value and gradient for scores of ten thousand, in float32 and without a warning."""
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        for right, expected in ((0, 0.0 if size > 0 else 1e4), (1, 1e4 if size > 0 else 0.0)):
            x = Variable(np.array([[size, 0.0]], dtype=np.float32))
            loss = CrossEntropyLoss()(x, [right])
            loss.backward()
            assert loss.item() == expected and np.isfinite(x.grad.data).all()
            y = Variable(np.array([size], dtype=np.float32))
            loss = BinaryCrossEntropyLoss()(y, [1 - right])
            loss.backward()
            assert loss.item() == expected and np.isfinite(y.grad.data).all()


def test_losses_keep_float32():
    for loss, y_true in ((CrossEntropyLoss(), [0, 1]), (BinaryCrossEntropyLoss(), [[0, 1], [1, 0]])):
        x = Variable(np.ones((2, 2), dtype=np.float32))
        out = loss(x, y_true)
        out.backward()
        assert out.dtype == x.grad.dtype == np.float32


def test_losses_equal_pytorch():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    z, classes, yes = 5 * rng.standard_normal((20, 6)), rng.integers(0, 6, 20), rng.random((20, 6))
    cases = [
        (CrossEntropyLoss(), torch.nn.CrossEntropyLoss(), classes),
        (BinaryCrossEntropyLoss(), torch.nn.BCEWithLogitsLoss(), yes),
        (MeanSquaredError(), torch.nn.MSELoss(), yes),
    ]
    for ours, theirs, y_true in cases:
        x, p = Variable(z), torch.tensor(z, requires_grad=True)
        loss, expected = ours(x, y_true), theirs(p, torch.tensor(y_true))
        loss.backward()
        expected.backward()
        np.testing.assert_allclose(loss.data, expected.detach().numpy(), rtol=1e-12)
        np.testing.assert_allclose(x.grad.data, p.grad.numpy(), rtol=1e-9, atol=1e-15)


LOGITS = np.zeros((2, 3))
BAD = [
    (CrossEntropyLoss, LOGITS, [0, 3], ValueError, "classes 0 to 2"),
    (CrossEntropyLoss, LOGITS, [0, -1], ValueError, r"target -1 \(sample 1\)"),
    (CrossEntropyLoss, LOGITS, [0.0, 1.0], TypeError, "astype"),
    (CrossEntropyLoss, LOGITS, [True, False], TypeError, "bool"),
    (CrossEntropyLoss, LOGITS, np.eye(3, dtype=int)[:2], ValueError, "one-hot"),
    (CrossEntropyLoss, LOGITS, [[0], [1]], ValueError, r"reshape\(-1\)"),
    (CrossEntropyLoss, LOGITS, [0, 1, 2], ValueError, r"these have \(3,\)"),
    (CrossEntropyLoss, np.zeros((0, 3)), [], ValueError, "at least one"),
    (CrossEntropyLoss, np.float64(1.0), 0, ValueError, r"\(N, K\)"),
    (CrossEntropyLoss, np.array([[np.inf, 0.0]]), [0], NotFiniteError, r"inf at \[0, 0\]"),
    (BinaryCrossEntropyLoss, [0.0, 1.0], [0, 2], ValueError, "from 0 to 2"),
    (BinaryCrossEntropyLoss, [0.0, 1.0], [[0], [1]], ValueError, "same"),
    (BinaryCrossEntropyLoss, [np.nan], [1], NotFiniteError, "predictions"),
    (MeanSquaredError, [[1.0], [2.0]], [1.0, 2.0], ValueError, "broadcast"),
    (MeanSquaredError, [1.0], [np.nan], NotFiniteError, "targets hold nan"),
]


@pytest.mark.parametrize("loss, y_pred, y_true, error, said", BAD)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_bad_targets_are_explained(loss, y_pred, y_true, error, said):
    with pytest.raises(error, match=said):
        loss()(y_pred, y_true)


@pytest.mark.parametrize(
    "parameters, error, said",
    [
        ([], ValueError, "no parameters"),
        (iter(()), ValueError, "used up"),
        (Parameter([1.0]), TypeError, "a single one"),
        (create_mlp(2, [], 2), TypeError, "model.parameters()"),
        (list(create_mlp(2, [], 2).named_parameters()), TypeError, "not named_parameters"),
        ([Tensor([1.0])], ValueError, "requires no gradient"),
        ([np.ones(2)], TypeError, "not a Parameter"),
        ([p := Parameter([1.0]), p], ValueError, "twice"),
        (3, TypeError, "no list"),
    ],
)
def test_bad_parameters_are_explained(parameters, error, said):
    with pytest.raises(error, match=said.replace("(", r"\(").replace(")", r"\)")):
        checked_parameters("GradientDescent", parameters)


@pytest.mark.parametrize("rate", [-1, float("nan"), float("inf"), "fast", None])
def test_bad_learning_rate(rate):
    with pytest.raises(ValueError, match="learning_rate"):
        GradientDescent([Parameter([1.0])], rate)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6))
def test_evaluation_does_not_depend_on_the_cut(sizes):
    """However the samples are cut into batches, the means are those over all samples."""
    n = sum(sizes)
    x, y = np.arange(n, dtype=np.float64)[:, None], np.zeros(n)
    ends = np.cumsum(sizes)
    cut = [(Tensor(x[b - s : b]), Tensor(y[b - s : b])) for s, b in zip(sizes, ends)]
    found = evaluate(lambda x: x, cut, {"m": lambda y_pred, y_true: float(y_pred.data.mean())})
    assert found["m"] == pytest.approx(x.mean(), rel=1e-12)


def test_modes_are_restored_one_by_one():
    model = network(dropout=0.5)
    model.train()
    frozen = model.layers[2]
    frozen.eval()
    with pytest.raises(ZeroDivisionError), evaluating(model):
        assert not any(layer.training for layer in (model, *model.layers) if hasattr(layer, "training"))
        raise ZeroDivisionError
    assert model.training and not frozen.training
    trainer = make_trainer(dropout=0.5)
    trainer.model.eval()
    trainer.fit(DataLoader(problem(), seed=0), epochs=1, quiet=True)
    assert not trainer.model.training


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=60))
def test_confusion_matrix_counts(pairs):
    true, predicted = map(np.array, zip(*pairs))
    matrix = confusion_matrix(predicted, true, classes=5)
    assert matrix.sum() == len(pairs)
    assert matrix.trace() == round(Accuracy()(predicted, true) * len(pairs))
    assert (matrix.sum(axis=1) == np.bincount(true, minlength=5)).all()


def test_fit_reports_an_exploding_loss():
    trainer = make_trainer(learning_rate=1e30)
    with np.errstate(all="ignore"), pytest.raises(NotFiniteError, match=r"epoch 1, batch \d") as caught:
        trainer.fit(DataLoader(problem(), batch_size=16, seed=0), epochs=3, quiet=True)
    assert "learning rate" in str(caught.value) and "dense (forward)" in str(caught.value)


def test_fit_reports_nan_in_the_data():
    x = np.zeros((4, 3), dtype=np.float32)
    x[2, 1] = np.nan
    with pytest.raises(NotFiniteError, match="look at the data"):
        make_trainer().fit([(Tensor(x), Tensor([0, 1, 0, 1]))], epochs=1, quiet=True)


def test_not_converging_is_said():
    history = make_trainer(learning_rate=1e-7).fit(DataLoader(problem(), seed=0), epochs=3, quiet=True)
    assert history.converging is False and "not converging" in history.verdict()
    assert make_trainer().fit(DataLoader(problem(), seed=0), epochs=5, quiet=True).converging
    assert History().converging is None and History().verdict() == "no epoch was completed"


def test_wrong_use_of_fit():
    trainer, loader = make_trainer(), DataLoader(problem(), seed=0)
    with pytest.raises(ValueError, match="val_dataloader"):
        trainer.fit(loader, patience=3, quiet=True)
    with pytest.raises(ValueError, match="from which file"):
        trainer.fit(loader, resume=True, quiet=True)
    with pytest.raises(ValueError, match="used up"):
        trainer.fit(iter(list(loader)), epochs=2, quiet=True)
    with pytest.raises(TypeError, match="no optimizer"):
        Trainer(trainer.model, None, CrossEntropyLoss())
    with pytest.raises(KeyError, match="it has loss"):
        trainer.history["accurracy"]


def test_early_stopping_restores_the_best_weights():
    """The validation set has other labels than the training set, so training makes it worse from some point on."""
    data = problem()
    against = ArrayDataset(data.features, 1 - data.targets)
    trainer = make_trainer(learning_rate=0.5)
    before = snapshot(trainer.model)
    stops = DataLoader(against, batch_size=50, shuffle=False)
    history = trainer.fit(DataLoader(data, seed=0), stops, epochs=50, patience=3, quiet=True)
    best = int(np.argmin(history["val_loss"]))
    assert len(history) == best + 1 + 3 and "stopped early" in history.verdict()
    assert trainer.evaluate(stops)["loss"] == pytest.approx(min(history["val_loss"]), rel=1e-6)
    assert not all(np.array_equal(a, b) for a, b in zip(before.values(), snapshot(trainer.model).values()))


@pytest.mark.parametrize("stop_after", [1, 2, 4])
def test_resumed_equals_uninterrupted(tmp_path, stop_after):
    """To the last bit: weights, history, the generator's state, and the best weights of early stopping."""
    def run(epochs, seed, **options):
        trainer = make_trainer(seed, dropout=0.4)
        loaders = DataLoader(problem(), batch_size=16, seed=seed), DataLoader(problem(), batch_size=7, seed=seed)
        trainer.fit(*loaders, epochs=epochs, patience=4, quiet=True, **options)
        return trainer

    whole = run(6, 0)
    run(stop_after, 0, checkpoint=tmp_path / "run.npz")
    resumed = run(6, 99, checkpoint=tmp_path / "run.npz", resume=True)
    assert whole.history.values == resumed.history.values
    for a, b in zip(snapshot(whole.model).values(), snapshot(resumed.model).values()):
        assert np.array_equal(a, b)
    states = [[g.bit_generator.state for g in generators(t.model)] for t in (whole, resumed)]
    assert states[0] == states[1]


def test_interrupted_within_an_epoch(tmp_path):
    class Interrupted(CrossEntropyLoss):
        calls = 0

        def __call__(self, y_pred, y_true):
            Interrupted.calls += 1
            if Interrupted.calls == 10:
                raise KeyboardInterrupt
            return super().__call__(y_pred, y_true)

    def run(loss, **options):
        model = network(dropout=0.4)
        trainer = Trainer(model, GradientDescent(model.parameters(), 0.3), loss)
        trainer.fit(DataLoader(problem(), batch_size=16, seed=0), epochs=5, quiet=True, **options)
        return snapshot(model)

    path = tmp_path / "a folder" / "run.npz"
    with pytest.raises(KeyboardInterrupt):
        run(Interrupted(), checkpoint=path)
    resumed, whole = run(CrossEntropyLoss(), checkpoint=path, resume=True), run(CrossEntropyLoss())
    assert all(np.array_equal(resumed[name], whole[name]) for name in whole)
    assert [file.name for file in path.parent.iterdir()] == ["run.npz"]


def test_finished_run_is_not_continued(tmp_path):
    path = tmp_path / "run.npz"
    trainer = make_trainer()
    trainer.fit(DataLoader(problem(), seed=0), epochs=2, checkpoint=path, quiet=True)
    before = path.read_bytes()
    again = make_trainer()
    assert len(again.fit(DataLoader(problem(), seed=0), epochs=2, checkpoint=path, resume=True, quiet=True)) == 2
    assert path.read_bytes() == before


def test_checkpoints_hold_what_they_were_given(tmp_path):
    state = {
        "arrays": [np.arange(6.0).reshape(2, 3), np.array(3, dtype=np.int8), np.zeros((0, 2), dtype=np.float32)],
        "numbers": {"a": 1, "b": 0.1, "c": math.inf, "d": 2**100, "e": None, "f": True},
        "text": "écrit",
    }
    save_checkpoint(tmp_path / "x.npz", state)
    found = load_checkpoint(tmp_path / "x.npz")
    assert found["numbers"] == state["numbers"] and found["text"] == state["text"]
    for a, b in zip(state["arrays"], found["arrays"]):
        assert a.dtype == b.dtype and np.array_equal(a, b)


def test_foreign_and_damaged_checkpoints(tmp_path):
    path = tmp_path / "run.npz"
    fit = lambda trainer: trainer.fit(DataLoader(problem(), seed=0), epochs=2, checkpoint=path, resume=True, quiet=True)
    fit(make_trainer())
    whole = path.read_bytes()
    for content in (b"", b"text", whole[: len(whole) // 2], whole[:200] + bytes(50) + whole[250:]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="damaged"):
            fit(make_trainer())
    np.savez(path, w=np.ones(3))
    with pytest.raises(ValueError, match="no checkpoint of a Trainer"):
        fit(make_trainer())
    path.write_bytes(whole)
    model = create_mlp(3, [5], 2, rng=0)
    other = Trainer(model, GradientDescent(model.parameters()), CrossEntropyLoss())
    before = snapshot(model)
    with pytest.raises(ValueError, match="another network"):
        fit(other)
    assert all(np.array_equal(before[name], value) for name, value in snapshot(model).items())
    with pytest.raises(FileNotFoundError, match="there is no file"):
        load_checkpoint(tmp_path / "none.npz")


def test_pickles_are_refused(tmp_path):
    path = tmp_path / "run.npz"
    np.savez(path, kind=np.array([object()], dtype=object))
    with pytest.raises(ValueError, match="damaged"):
        load_checkpoint(path)


def test_a_failed_write_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "run.npz"
    save_checkpoint(path, {"epoch": 1})

    def full(*arguments, **named):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(path, {"epoch": 2})
    assert load_checkpoint(path) == {"epoch": 1} and len(list(tmp_path.iterdir())) == 1


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_on_a_terminal_and_elsewhere():
    for stream, quiet in ((io.StringIO(), False), (Terminal(), False), (Terminal(), True)):
        progress = Progress(3, 5, quiet, stream=stream)
        progress.batch(1, 2, 0.5)
        progress.epoch(1, {"loss": 0.4})
        progress.line("done")
        text = stream.getvalue()
        assert ("\r" in text) == (stream.isatty() and not quiet)
        assert text.endswith("done\n") != quiet
        if not stream.isatty():
            assert text.startswith("epoch 1 of 3   loss 0.4000")


def test_nothing_goes_to_stdout(capsys):
    make_trainer().fit(DataLoader(problem(), seed=0), epochs=2)
    out, err = capsys.readouterr()
    assert out == "" and err.count("epoch ") >= 2


def test_max_norm_limits_the_step():
    w = Variable(np.zeros(4))
    data = [(Tensor(np.full((1, 4), 100.0)), Tensor([[0.0]]))]
    model = lambda x: (w * x).sum(axis=1, keepdims=True) + 1
    trainer = Trainer(model, GradientDescent([w], 1.0), MeanSquaredError(), max_norm=1.0)
    trainer.train_epoch(data)
    assert np.linalg.norm(w.data) == pytest.approx(1.0)


def test_the_tools_of_the_lab_leave_gradients_alone():
    model, (x, y) = network(), next(iter(DataLoader(problem(), batch_size=50, seed=0)))
    kept = Tensor([1.0])
    model.layers[0].bias.grad = kept
    norms = gradient_norms(model, CrossEntropyLoss(), x, y)
    assert set(norms) == {name for name, _ in model.named_parameters()} and min(norms.values()) > 0
    assert alignment(model, CrossEntropyLoss(), (x, y), (x, y)) == pytest.approx(1.0, abs=1e-5)
    model.layers[0].bias.data -= 100.0
    assert dead_units(model, x) == [1.0]
    assert model.layers[0].bias.grad is kept and model.layers[0].weights.grad is None


def test_predict_in_parts():
    trainer, x = make_trainer(dropout=0.5), problem().features
    whole = trainer.predict(x)
    assert not whole.requires_grad and whole.shape == (50, 2)
    in_parts = trainer.predict(x.astype(np.float64), batch_size=7)
    np.testing.assert_allclose(in_parts.data, whole.data, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="no samples"):
        trainer.predict(x[:0])


def test_early_stopping_survives_a_loss_that_never_falls():
    stopper, model = EarlyStopping(2), network()
    assert [stopper.update(math.inf, epoch, model) for epoch in (1, 2)] == [False, True]


def test_memory_stays_flat():
    """Ten thousand steps with the garbage collector off: the graph of a step is gone when the step is over."""
    model = network()
    optimizer, loss_function = GradientDescent(model.parameters(), 0.01), CrossEntropyLoss()
    x, y = next(iter(DataLoader(problem(), batch_size=8, seed=0)))
    gc.collect()
    gc.disable()
    try:
        tracemalloc.start()
        for _ in range(3000):  # Python keeps some small blocks for later; then it has enough of them
            train_step(model, optimizer, loss_function, x, y)
        early, _ = tracemalloc.get_traced_memory()
        for _ in range(7000):
            train_step(model, optimizer, loss_function, x, y)
        late, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
    assert late - early < 10_000


def uneven():
    """Four samples, one of which is a batch of its own, and a model that gets the first three right."""
    data = ArrayDataset(np.array([[1.0], [1.0], [1.0], [-1.0]], np.float32), np.ones((4, 1), np.float32))
    model = Dense(1, 1)
    model.weights.data[...], model.bias.data[...] = 1.0, 0.0
    trainer = Trainer(model, GradientDescent(model.parameters(), 0.0), MeanSquaredError(), [Accuracy()])
    return trainer, DataLoader(data, batch_size=3, shuffle=False)


def test_the_history_holds_means_over_samples():
    trainer, loader = uneven()
    history = trainer.fit(loader, epochs=1, quiet=True)
    assert history["loss"] == pytest.approx([1.0]) and history["accuracy"] == pytest.approx([0.75])
    assert trainer.evaluate(loader) == pytest.approx({"loss": 1.0, "accuracy": 0.75})


def test_training_is_in_training_mode_whatever_mode_the_model_was_in():
    """With dropout at work the loss of the first epoch differs from the one that evaluation gives."""
    losses = {}
    for rate in (0.0, 0.6):
        trainer = make_trainer(learning_rate=0.0, dropout=rate)
        trainer.model.eval()
        losses[rate] = trainer.fit(DataLoader(problem(), seed=0), epochs=1, quiet=True)["loss"][0]
        assert not any(part.training for _, part in trainer.model.named_modules())
    assert abs(losses[0.0] - losses[0.6]) > 1e-3


def test_an_infinite_loss_stops_training():
    w = Variable(np.array([1.0]))
    trainer = Trainer(lambda x: w * x, GradientDescent([w]), lambda y_pred, y: (y_pred * np.inf).sum())
    with pytest.raises(NotFiniteError, match="epoch 1, batch 1: the loss is inf"):
        trainer.fit([(Tensor([1.0]), Tensor([0.0]))], quiet=True)


def test_yes_or_no_scores_are_cut_at_zero():
    assert Accuracy()(Tensor([0.2, -0.2, 3.0]), [1, 0, 0]) == pytest.approx(2 / 3)


def test_a_unit_is_dead_where_it_is_zero_for_every_sample():
    model = Sequential([Dense(1, 3, rng=0), ReLU()])
    model.layers[0].weights.data[...], model.layers[0].bias.data[...] = [[1.0, -1.0, 0.0]], [0.0, 0.0, -1.0]
    assert dead_units(model, Tensor([[1.0], [-1.0]])) == pytest.approx([1 / 3])


def test_a_run_that_stopped_early_is_not_continued(tmp_path):
    """Neither is its patience forgotten: what early stopping knew is part of the checkpoint."""
    data = problem()
    against = ArrayDataset(data.features, 1 - data.targets)

    def run(epochs, **options):
        trainer = make_trainer(learning_rate=0.5)
        loaders = DataLoader(data, seed=0), DataLoader(against, batch_size=50, shuffle=False)
        trainer.fit(*loaders, epochs=epochs, patience=3, quiet=True, **options)
        return trainer

    whole = run(50)
    length = len(whole.history)
    run(length - 1, checkpoint=tmp_path / "run.npz")
    for _ in range(2):  # goes on to the stop; then there is nothing left to do
        resumed = run(50, checkpoint=tmp_path / "run.npz", resume=True)
        assert resumed.history.values == whole.history.values and resumed.history.stopped == whole.history.stopped
        for a, b in zip(snapshot(whole.model).values(), snapshot(resumed.model).values()):
            assert np.array_equal(a, b)


def test_one_sample_without_a_batch_axis():
    alone, batch = Variable([1.0, 3.0]), Variable([[1.0, 3.0]])
    loss, other = CrossEntropyLoss()(alone, 0), CrossEntropyLoss()(batch, [0])
    loss.backward(), other.backward()
    assert loss.item() == other.item() and np.array_equal(alone.grad.data, batch.grad.data[0])


def test_a_state_that_lacks_something_changes_nothing():
    trainer, before = make_trainer(), make_trainer(1)
    state = before.state()
    for name in state:
        rest = {key: value for key, value in state.items() if key != name}
        kept = snapshot(trainer.model)
        with pytest.raises(ValueError, match=f"lacks {name}"):
            trainer.load_state(rest)
        assert all(np.array_equal(kept[key], value) for key, value in snapshot(trainer.model).items())


CONFUSED = [
    (lambda: confusion_matrix([0, 1], [0, -1]), "reach from -1"),
    (lambda: confusion_matrix([0, 1], [0, 5], classes=3), "0 to 2 here"),
    (lambda: confusion_matrix([0, 1], [0.0, 0.5]), "classes are numbered"),
    (lambda: confusion_matrix([], []), "no samples"),
    (lambda: Trainer(network(), GradientDescent(network().parameters()), CrossEntropyLoss(), max_norm=-1), "max_norm"),
    (lambda: Trainer(network(), GradientDescent(network().parameters()), CrossEntropyLoss(), 5), "metrics are 5"),
    (lambda: make_trainer().fit(problem(), quiet=True), "Write DataLoader"),
    (lambda: make_trainer().fit(DataLoader(problem()), problem(), quiet=True), "Write DataLoader"),
    (lambda: make_trainer().predict(problem().features, batch_size=0), "batch_size is 0"),
]


@pytest.mark.parametrize("call, said", CONFUSED, ids=[said for _, said in CONFUSED])
def test_more_bad_input_is_explained(call, said):
    with pytest.raises((TypeError, ValueError), match=said):
        call()


def test_a_checkpoint_needs_the_name_of_a_file(tmp_path):
    with pytest.raises(IsADirectoryError, match="Name a file in it"):
        make_trainer().fit(DataLoader(problem()), epochs=1, checkpoint=tmp_path, quiet=True)
    path = tmp_path / "text"
    path.write_bytes(b"text")
    with pytest.raises(ValueError, match="no checkpoint") as caught:
        load_checkpoint(path)
    assert "pickle" not in str(caught.value)
