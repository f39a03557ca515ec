# ---
# jupyter:
#   jupytext:
#     notebook_metadata_filter: -jupytext.text_representation.jupytext_version
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Optimizers
#
# Gradient descent looks at the slope under its feet and takes a step. It has one setting, the learning rate, and that
# has to suit every weight at once and the whole of the training. The trouble is not that this rate is hard to find. For
# many problems there is none.
#
# Imagine a long valley with steep sides and a gentle fall along its floor. A step that is right for the sides is
# hopelessly short for the floor, and a step that suits the floor throws one from side to side, higher each time. The
# losses of real networks are full of such valleys, in thousands of dimensions. This chapter builds the rules that get
# along in them: one that remembers where it was going, one that gives every weight a step of its own length, and one
# that does both. Then it lets the learning rate change in the course of the training, and finds a good one in a single
# run.

# %%
#| default_exp core.optimizers

# %%
#| export
import math
from contextlib import contextmanager

import numpy as np

from tinytorch.core.layers import Module
from tinytorch.core.tensor import Tensor
from tinytorch.core.training import (
    NotFiniteError, check_loader, checked_parameters, checked_rate, generators, loader_state, parts_of, pyplot, snapshot, train_step,
)  # fmt: skip

# %%
import time

from tinytorch.core.autograd import Variable
from tinytorch.core.dataloader import DataLoader, digits_split, train_test_split
from tinytorch.core.layers import Parameter
from tinytorch.core.networks import create_mlp
from tinytorch.core.training import Accuracy, CrossEntropyLoss, GradientDescent, Trainer
from tinytorch.testing import check, check_raises

# %% [markdown]
# ## A valley, in numbers
#
# The smallest such valley has two dimensions: $f(x, y) = \frac{1}{2}(x^2 + 50 y^2)$, fifty times as steep across as
# along. Start on its side at $(10, 1)$, and let gradient descent run with four learning rates.

# %%
STEEPNESS = np.array([1.0, 50.0])


def valley(p):
    """Half of x^2 + 50 y^2."""
    return (p * p * STEEPNESS).sum() * 0.5


def path(make_optimizer, f, start, steps):
    """The points that an optimizer comes through, the start included."""
    p = Variable(np.array(start))
    optimizer, points = make_optimizer([p]), [np.array(start)]
    for _ in range(steps):
        optimizer.zero_grad()
        f(p).backward()
        optimizer.step()
        points.append(p.data.copy())
    return np.array(points)


for learning_rate in (0.001, 0.02, 0.039, 0.041):
    end = path(lambda ps: GradientDescent(ps, learning_rate), valley, (10.0, 1.0), 100)[-1]
    print(f"learning rate {learning_rate:5.3f}   after 100 steps x = {end[0]:8.4f}   y = {end[1]:8.1e}")

# %% [markdown]
# Along `y` a step multiplies the distance by $1 - 50\eta$, along `x` by $1 - \eta$. Beyond $\eta = 0.04$ the first
# factor is below $-1$ and `y` grows without bound. So the steep direction sets a limit, and at that limit the flat
# direction still crawls. No choice of $\eta$ makes both factors small.
#
# ## What optimizers have in common
#
# A list of parameters, checked by `checked_parameters` from the training chapter; for each parameter some memory; a
# learning rate that others may change; and `step`, which asks a method `update` what to subtract from each parameter,
# and subtracts it in place. All that distinguishes one optimizer from another is `update`, and which arrays it
# remembers.

# %%
#| export
class Optimizer:
    """Moves parameters; a subclass says by how much.

    Parameters
    ----------
    parameters : list of Parameters or Variables
    learning_rate : float, at least 0

    Attributes
    ----------
    parameters : list
    learning_rate : float
        May be changed between steps.
    memory : list of dict
        For each parameter how many steps it has taken ("steps"), and the arrays that `arrays` names, zero at first.
    """

    arrays = ()

    def __init__(self, parameters, learning_rate: float):
        self.parameters = checked_parameters(type(self).__name__, parameters)
        self.learning_rate = learning_rate
        self.memory = [{"steps": 0} | {name: np.zeros_like(p.data) for name in self.arrays} for p in self.parameters]

    def __setattr__(self, name, value):
        if name == "learning_rate":
            value = checked_rate(type(self).__name__, value)
        super().__setattr__(name, value)

    def update(self, p: np.ndarray, g: np.ndarray, memory: dict) -> np.ndarray:
        """What to subtract from a parameter with the array p and the gradient g."""
        raise TypeError(f"{type(self).__name__} does not say how far to step: define update(self, p, g, memory).")

    def step(self) -> None:
        """Move every parameter that has a gradient."""
        for p, memory in zip(self.parameters, self.memory):
            g = p.grad
            if g is not None:
                memory["steps"] += 1
                p.data -= self.update(p.data, g.data, memory)

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for p in self.parameters:
            p.grad = None

    def state_dict(self) -> dict:
        """What a resumed run needs to know: the learning rate, and copies of the memory."""
        copies = [{name: value.copy() if name != "steps" else value for name, value in m.items()} for m in self.memory]
        return {"learning_rate": self.learning_rate, "memory": copies}

    def load_state_dict(self, state: dict) -> None:
        """Take over what `state_dict` gave. Raises ValueError where it belongs to other parameters or another optimizer."""
        name = type(self).__name__
        try:
            rate, there = state["learning_rate"], [{k: np.shape(v) for k, v in m.items()} for m in state["memory"]]
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{name}: this is the state of another optimizer: it has no memory of the steps taken.") from error
        here = [{k: np.shape(v) for k, v in m.items()} for m in self.memory]
        if there != here:
            raise ValueError(
                f"{name}: the state does not fit. It remembers {there[:2]} ..., this optimizer {here[:2]} ...\n"
                "  Make the optimizer of the same kind, for the same model, as the one that was saved."
            )
        self.learning_rate = rate
        self.memory = [{k: np.array(v) if k != "steps" else int(v) for k, v in m.items()} for m in state["memory"]]

    def __repr__(self):
        return f"{type(self).__name__}({len(self.parameters)} parameters, learning_rate={self.learning_rate:g})"


def checked_fraction(name: str, option: str, value) -> float:
    """`value` as a float, once it is seen to be at least 0 and below 1."""
    if not isinstance(value, (int, float, np.floating)) or not 0 <= value < 1:
        raise ValueError(f"{name}: {option} is {value!r}, but it has to be a number from 0 to below 1, such as 0.9.")
    return float(value)


def checked_positive(name: str, option: str, value) -> float:
    """`value` as a float, once it is seen to be a finite number of at least 0."""
    if not isinstance(value, (int, float, np.floating)) or not 0 <= value < math.inf:
        raise ValueError(f"{name}: {option} is {value!r}, but it has to be a number of at least 0.")
    return float(value)


# %% [markdown]
# ## Momentum
#
# A ball that rolls down the valley does not follow the slope at every point. Its pushes to the left and to the right
# cancel, those along the floor add up. So let the optimizer have a *velocity* $v$: in every step a part of it is kept,
# and the gradient is added (Polyak 1964):
#
# $$v \leftarrow \mu v + g, \qquad p \leftarrow p - \eta v.$$
#
# With the *momentum* $\mu = 0.9$ and a gradient that stays the same, $v$ grows to $g (1 + 0.9 + 0.9^2 + \dots)$, ten
# times the gradient. Where the gradient changes its sign at every step, it stays small.
#
# Two variants belong to it. *Nesterov's* rule (Nesterov 1983; Sutskever et al. 2013) steps along $g + \mu v$, with the
# new $v$: as if the next push of the velocity had been applied already. And *weight decay* adds $\lambda p$ to the
# gradient before all else, the slope of a penalty $\frac{\lambda}{2} \lVert p \rVert^2$ on large weights.

# %% nbgrader={"grade": false, "grade_id": "sgd_update", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
class SGD(Optimizer):
    """Gradient descent on batches, with momentum (Polyak 1964; Sutskever et al. 2013).

    Parameters
    ----------
    parameters : list of Parameters or Variables
    learning_rate : float
    momentum : float, 0 to below 1
        The part of the velocity that is kept.
    weight_decay : float
        Pulls weights towards 0: times the weight, it is added to the gradient.
    nesterov : bool
        Needs momentum.
    """

    def __init__(self, parameters, learning_rate: float = 0.01, momentum: float = 0.0, weight_decay: float = 0.0, nesterov: bool = False):
        self.momentum = checked_fraction("SGD", "momentum", momentum)
        self.weight_decay = checked_positive("SGD", "weight_decay", weight_decay)
        if nesterov and not momentum:
            raise ValueError("SGD: nesterov=True looks ahead along the velocity, so it needs momentum, such as 0.9.")
        self.nesterov = bool(nesterov)
        self.arrays = ("velocity",) if momentum else ()
        super().__init__(parameters, learning_rate)

    def update(self, p, g, memory):
        """What to subtract from a parameter.

        Notes
        -----
        ``memory["velocity"]`` is an array, there where `momentum` is not 0. Change it in place, so that the next step finds it. `g` belongs to somebody
        else: do not change it. Without momentum and weight decay the answer is ``learning_rate * g``, and nothing
        else needs to be computed.
        """
        ### BEGIN SOLUTION sgd_update
        if self.weight_decay:
            g = g + self.weight_decay * p
        if self.momentum:
            v = memory["velocity"]
            v *= self.momentum
            v += g
            g = g + self.momentum * v if self.nesterov else v
        return self.learning_rate * g
        ### END SOLUTION


# %% [raw] tags=["exercise"]
# sgd_update:
#   title: Momentum
#   hints:
#     - In which order do decay, velocity and learning rate come in? Each is one of the formulas above.
#     - Add weight_decay * p to the gradient. With momentum, multiply the velocity by it in place, add the gradient in place, and go along the velocity, or with nesterov along g + momentum * v. Multiply by the learning rate last.
#     - "v *= self.momentum; v += g; then g = ... if self.nesterov else v, where Nesterov's goes one more step with the new velocity"
#   misconceptions:
#     - name: an average in place of a sum
#       says: >-
#         The velocity was made an average of gradients, with weight 1 - momentum for the new one. Then momentum does not lengthen the steps, and a learning
#         rate means something else than elsewhere. Here the whole gradient is added.
#       code: |
#         if self.weight_decay:
#             g = g + self.weight_decay * p
#         if self.momentum:
#             v = memory["velocity"]
#             v *= self.momentum
#             v += (1 - self.momentum) * g
#             g = g + self.momentum * v if self.nesterov else v
#         return self.learning_rate * g
#     - name: the learning rate inside the velocity
#       says: >-
#         The velocity was built from steps, not from gradients. As long as the learning rate stays the same that makes no difference; when it is
#         lowered, the old long steps live on in the velocity. Multiply by the learning rate at the end.
#       code: |
#         if self.weight_decay:
#             g = g + self.weight_decay * p
#         if self.momentum:
#             v = memory["velocity"]
#             v *= self.momentum
#             v += self.learning_rate * g
#             return self.learning_rate * g + self.momentum * v if self.nesterov else v.copy()
#         return self.learning_rate * g
#     - name: forgets the velocity
#       says: >-
#         The second step was as long as the first: the velocity was computed, but not stored. Change the array in memory in place.
#       code: |
#         if self.weight_decay:
#             g = g + self.weight_decay * p
#         if self.momentum:
#             v = self.momentum * memory["velocity"] + g
#             g = g + self.momentum * v if self.nesterov else v
#         return self.learning_rate * g
#     - name: changes the gradient
#       says: >-
#         The gradient itself was changed. It belongs to the parameter, and whoever looks at p.grad after the step would see something that backward
#         never found. Make a new array, g = g + ...
#       code: |
#         if self.weight_decay:
#             g += self.weight_decay * p
#         if self.momentum:
#             v = memory["velocity"]
#             v *= self.momentum
#             v += g
#             g = g + self.momentum * v if self.nesterov else v
#         return self.learning_rate * g
#     - name: decay that lets weights grow
#       says: >-
#         With the decay subtracted from the gradient, weights grow. Its slope points away from 0, and the step goes against the
#         slope.
#       code: |
#         if self.weight_decay:
#             g = g - self.weight_decay * p
#         if self.momentum:
#             v = memory["velocity"]
#             v *= self.momentum
#             v += g
#             g = g + self.momentum * v if self.nesterov else v
#         return self.learning_rate * g
#     - name: ignores nesterov
#       says: >-
#         The step with nesterov=True was that of plain momentum. It goes along g + momentum * v.
#       code: |
#         if self.weight_decay:
#             g = g + self.weight_decay * p
#         if self.momentum:
#             v = memory["velocity"]
#             v *= self.momentum
#             v += g
#             g = v
#         return self.learning_rate * g

# %% nbgrader={"grade": true, "grade_id": "test_sgd_update", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
def test_sgd_update():
    def moved(optimizer, *slopes):
        (p,) = optimizer.parameters
        for g in slopes:
            p.grad = Tensor([g])
            optimizer.step()
        return p.data.copy()
    check(moved(SGD([Parameter([1.0])], 0.1), 2.0), [0.8])
    check(moved(SGD([Parameter([1.0])], 0.1), 2.0, 2.0), [0.6])
    check(moved(SGD([Parameter([0.0])], 0.1, momentum=0.9), 1.0), [-0.1])
    check(moved(SGD([Parameter([0.0])], 0.1, momentum=0.9), 1.0, 1.0), [-0.29])
    check(moved(SGD([Parameter([0.0])], 0.1, momentum=0.9), 1.0, 1.0, 1.0), [-0.561])
    check(moved(SGD([Parameter([2.0])], 0.5, weight_decay=0.1), 0.0), [1.9])
    check(moved(SGD([Parameter([0.0])], 0.1, momentum=0.9, nesterov=True), 1.0, 1.0), [-0.461])
    p = Parameter([0.0])
    optimizer = SGD([p], 0.1, momentum=0.9)
    moved(optimizer, 1.0)
    optimizer.learning_rate = 0.01
    check(moved(optimizer, 1.0), [-0.119])
    p = Parameter([2.0])
    moved(SGD([p], 0.5, weight_decay=0.1), 1.0)
    check(p, [1.4])
    check(p.grad, [1.0])
    check(str(p.dtype), "float32")
    check_raises(ValueError, lambda: SGD([p], momentum=1.0), "momentum is 1.0")
    check_raises(ValueError, lambda: SGD([p], nesterov=True), "needs momentum")
    check_raises(ValueError, lambda: SGD([p], learning_rate=-1), "learning_rate is -1")

test_sgd_update()

# %% [markdown]
# ## A step of its own for every weight
#
# The other way out of the valley is to measure the directions by their own gradients. Keep, for each weight, a running
# average of the squared gradient, and divide the gradient by its root (RMSProp; Tieleman & Hinton 2012):
#
# $$s \leftarrow \alpha s + (1 - \alpha) g^2, \qquad p \leftarrow p - \eta \frac{g}{\sqrt{s} + \epsilon}.$$
#
# What is left of the gradient is its sign and its size compared with what is usual for this weight. A gradient that is
# fifty times as large everywhere gives the same step. The small $\epsilon$ keeps a weight whose gradients are all 0
# from dividing by it.

# %% nbgrader={"grade": false, "grade_id": "rmsprop_update", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
class RMSProp(Optimizer):
    """Steps measured by the gradients' usual size (Tieleman & Hinton 2012).

    Parameters
    ----------
    parameters : list of Parameters or Variables
    learning_rate : float
    alpha : float, 0 to below 1
        The part of the average of squares that is kept.
    epsilon : float
    weight_decay : float
        Times the weight, it is added to the gradient.
    """

    arrays = ("squares",)

    def __init__(self, parameters, learning_rate: float = 0.01, alpha: float = 0.99, epsilon: float = 1e-8, weight_decay: float = 0.0):
        self.alpha = checked_fraction("RMSProp", "alpha", alpha)
        self.epsilon = checked_positive("RMSProp", "epsilon", epsilon)
        self.weight_decay = checked_positive("RMSProp", "weight_decay", weight_decay)
        super().__init__(parameters, learning_rate)

    def update(self, p, g, memory):
        """What to subtract from a parameter.

        Notes
        -----
        ``memory["squares"]`` is the average of squares: change it in place, before it is used.
        """
        if self.weight_decay:
            g = g + self.weight_decay * p
        ### BEGIN SOLUTION rmsprop_update
        s = memory["squares"]
        s *= self.alpha
        s += (1 - self.alpha) * g * g
        size = np.sqrt(s)
        size += self.epsilon
        step = g / size
        step *= self.learning_rate
        return step
        ### END SOLUTION


# %% [raw] tags=["exercise"]
# rmsprop_update:
#   title: A step of its own for every weight
#   hints:
#     - Two formulas, two parts. Which of them changes the memory, and which gives the answer?
#     - Multiply the average in place by alpha, add (1 - alpha) times the square of the gradient in place. Then divide learning_rate * g by the root plus epsilon.
#     - "s *= self.alpha; s += ..., with the square of g and the share that alpha leaves in the gap"
#   misconceptions:
#     - name: forgets the root
#       says: >-
#         The gradient was divided by the mean square, not by its root. Then a gradient twice as large would make the step half as long.
#       code: |
#         s = memory["squares"]
#         s *= self.alpha
#         s += (1 - self.alpha) * g * g
#         return self.learning_rate * g / (s + self.epsilon)
#     - name: epsilon under the root
#       says: >-
#         Epsilon was added before the root was taken. The root of a small number is much larger than the number, and small gradients were held back. Add it
#         after the root.
#       code: |
#         s = memory["squares"]
#         s *= self.alpha
#         s += (1 - self.alpha) * g * g
#         return self.learning_rate * g / np.sqrt(s + self.epsilon)
#     - name: sums up squares for ever
#       says: >-
#         The squares were added up, never forgotten. That is another rule (AdaGrad, Duchi et al. 2011), whose steps become shorter and shorter. Keep alpha of the
#         old average and add 1 - alpha of the new square.
#       code: |
#         s = memory["squares"]
#         s += (1 - self.alpha) * g * g
#         return self.learning_rate * g / (np.sqrt(s) + self.epsilon)
#     - name: averages the gradient before squaring
#       says: >-
#         The average of the gradients was used, not that of their squares. Gradients of opposite signs cancel in it, and the division then
#         makes the step enormous.
#       code: |
#         s = memory["squares"]
#         s *= self.alpha
#         s += (1 - self.alpha) * g
#         return self.learning_rate * g / (abs(s) + self.epsilon)

# %% nbgrader={"grade": true, "grade_id": "test_rmsprop_update", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def test_rmsprop_update():
    def moved(optimizer, *slopes):
        (p,) = optimizer.parameters
        for g in slopes:
            p.grad = Tensor([g])
            optimizer.step()
        return p.data.copy()
    check(moved(RMSProp([Parameter([0.0])], 0.1), 2.0), [-1.0])
    check(moved(RMSProp([Parameter([0.0])], 0.1), 200.0), [-1.0])
    check(moved(RMSProp([Parameter([0.0])], 0.1), 2.0, 1.0), [-1.4490132])
    check(moved(RMSProp([Parameter([0.0])], 0.1, alpha=0.5), 2.0, -1.0), [-0.0597717])
    check(moved(RMSProp([Parameter([0.0])], 0.1), 1e-6), [-0.9090909])
    check(moved(RMSProp([Parameter([0.0])], 0.1), 0.0), [0.0])
    p = Variable(np.array([0.0]))
    moved(RMSProp([p], 0.1), 2.0)
    check(str(p.dtype), "float64")

test_rmsprop_update()

# %% [markdown]
# ## Both: Adam
#
# Adam (Kingma & Ba 2015) averages the gradient, as momentum does, and divides by the root of the averaged square:
#
# $$m \leftarrow \beta_1 m + (1 - \beta_1) g, \qquad s \leftarrow \beta_2 s + (1 - \beta_2) g^2.$$
#
# Both averages begin at 0, and that is a wrong beginning: after one step with the gradient $g$, $m$ is only $(1 -
# \beta_1) g$. After $t$ steps with the same gradient it is $(1 - \beta_1^t)\, g$, so dividing by that factor puts it
# right; likewise for $s$:
#
# $$p \leftarrow p - \eta \frac{m / (1 - \beta_1^t)}{\sqrt{s / (1 - \beta_2^t)} + \epsilon}.$$
#
# The first step of Adam has therefore the length $\eta$ for every weight, whatever its gradient. How much that
# correction matters:

# %%
for t in (1, 2, 10, 100, 1000):
    print(f"step {t:4d}   1 - 0.9^t = {1 - 0.9**t:.4f}   1 - 0.999^t = {1 - 0.999**t:.4f}   uncorrected, the step would be {(1 - 0.9**t) / (1 - 0.999**t) ** 0.5:.2f} times as long")

# %% nbgrader={"grade": false, "grade_id": "adam_step", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
class Adam(Optimizer):
    """Averaged gradients, divided by their usual size (Kingma & Ba 2015).

    Parameters
    ----------
    parameters : list of Parameters or Variables
    learning_rate : float
        The length of a step, about.
    beta1, beta2 : float, 0 to below 1
        The parts of the averages of gradients and of squares that are kept.
    epsilon : float
    weight_decay : float
        Times the weight, it is added to the gradient. `AdamW` does it better.
    """

    arrays = ("mean", "squares")

    def __init__(self, parameters, learning_rate: float = 0.001, beta1: float = 0.9, beta2: float = 0.999,
                 epsilon: float = 1e-8, weight_decay: float = 0.0):
        name = type(self).__name__
        self.beta1, self.beta2 = checked_fraction(name, "beta1", beta1), checked_fraction(name, "beta2", beta2)
        self.epsilon = checked_positive(name, "epsilon", epsilon)
        self.weight_decay = checked_positive(name, "weight_decay", weight_decay)
        super().__init__(parameters, learning_rate)

    def adam_step(self, g, memory):
        """Adam's step for the gradient g.

        Notes
        -----
        ``memory["mean"]`` and ``memory["squares"]`` are the averages: change them in place. ``memory["steps"]`` is t, 1 in the first step.
        """
        ### BEGIN SOLUTION adam_step
        m, s, t = memory["mean"], memory["squares"], memory["steps"]
        m *= self.beta1
        m += (1 - self.beta1) * g
        s *= self.beta2
        s += (1 - self.beta2) * g * g
        size = np.sqrt(s)
        size /= math.sqrt(1 - self.beta2**t)
        size += self.epsilon
        step = m / size
        step *= self.learning_rate / (1 - self.beta1**t)
        return step
        ### END SOLUTION

    def update(self, p, g, memory):
        """What to subtract from a parameter."""
        return self.adam_step(g + self.weight_decay * p if self.weight_decay else g, memory)


# %% [raw] tags=["exercise"]
# adam_step:
#   title: Adam
#   hints:
#     - Four formulas, two for the memory and two for the correction. Which of them may change the arrays in memory?
#     - Update both averages in place. Compute the corrected ones as new arrays, by dividing by 1 - beta ** t. The step is learning_rate times the first, divided by the root of the second plus epsilon.
#     - "m_hat = m / (1 - self.beta1**t), and return self.learning_rate * m_hat / (np.sqrt(s_hat) + self.epsilon)"
#   misconceptions:
#     - name: no correction
#       says: >-
#         The averages were used as they are. They begin at 0 and are too small at first, the gradients' by another factor than the squares', so the first steps
#         come out too long. Divide each by 1 - beta ** t.
#       code: |
#         m, s = memory["mean"], memory["squares"]
#         m *= self.beta1
#         m += (1 - self.beta1) * g
#         s *= self.beta2
#         s += (1 - self.beta2) * g * g
#         return self.learning_rate * m / (np.sqrt(s) + self.epsilon)
#     - name: corrects only the gradients
#       says: >-
#         Only the average of the gradients was corrected. That of the squares begins at 0 as well, and takes much longer to grow.
#       code: |
#         m, s, t = memory["mean"], memory["squares"], memory["steps"]
#         m *= self.beta1
#         m += (1 - self.beta1) * g
#         s *= self.beta2
#         s += (1 - self.beta2) * g * g
#         return self.learning_rate * m / (1 - self.beta1**t) / (np.sqrt(s) + self.epsilon)
#     - name: corrects the memory itself
#       says: >-
#         The first step was right and the second was not: the correction was written into the memory, and the next average started from
#         corrected values. The corrected averages are new arrays.
#       code: |
#         m, s, t = memory["mean"], memory["squares"], memory["steps"]
#         m *= self.beta1
#         m += (1 - self.beta1) * g
#         s *= self.beta2
#         s += (1 - self.beta2) * g * g
#         m /= 1 - self.beta1**t
#         s /= 1 - self.beta2**t
#         return self.learning_rate * m / (np.sqrt(s) + self.epsilon)
#     - name: exchanges the betas
#       says: >-
#         beta1 belongs to the gradients and beta2 to the squares; here it is the other way round.
#       code: |
#         m, s, t = memory["mean"], memory["squares"], memory["steps"]
#         m *= self.beta2
#         m += (1 - self.beta2) * g
#         s *= self.beta1
#         s += (1 - self.beta1) * g * g
#         return self.learning_rate * m / (1 - self.beta2**t) / (np.sqrt(s / (1 - self.beta1**t)) + self.epsilon)
#     - name: corrects as in the first step
#       says: >-
#         The second step was too long: the correction stayed that of the first. It fades with the number of steps, 1 - beta ** t.
#       code: |
#         m, s = memory["mean"], memory["squares"]
#         m *= self.beta1
#         m += (1 - self.beta1) * g
#         s *= self.beta2
#         s += (1 - self.beta2) * g * g
#         return self.learning_rate * m / (1 - self.beta1) / (np.sqrt(s / (1 - self.beta2)) + self.epsilon)

# %% nbgrader={"grade": true, "grade_id": "test_adam_step", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
def test_adam_step():
    def moved(optimizer, *slopes):
        (p,) = optimizer.parameters
        for g in slopes:
            p.grad = Tensor([g])
            optimizer.step()
        return p.data.copy()
    check(moved(Adam([Parameter([0.0])], 0.1), 2.0), [-0.1])
    check(moved(Adam([Parameter([0.0])], 0.1), -300.0), [0.1])
    check(moved(Adam([Parameter([0.0])], 0.1), 2.0, 2.0), [-0.2])
    check(moved(Adam([Parameter([0.0])], 0.1), 2.0, -1.0), [-0.1266338])
    check(moved(Adam([Parameter([0.0])], 0.1, beta1=0.0, beta2=0.0), 2.0, -1.0), [0.0], atol=1e-6)
    check(moved(Adam([Parameter([0.0])], 0.1), 0.0), [0.0])
    check(moved(Adam([Parameter([0.0])], 0.1, epsilon=2.0), 2.0), [-0.05])
    p = Parameter([0.0])
    moved(Adam([p], 0.1), 1.0)
    check(str(p.dtype), "float32")
    check_raises(ValueError, lambda: Adam([p], beta2=1.0), "beta2 is 1.0")

test_adam_step()

# %% [markdown]
# ### Weight decay that stays weight decay
#
# `Adam` above adds the decay to the gradient, as `SGD` does, and then divides by the gradient's usual size. So the
# decay is divided, too: weights with large gradients are hardly decayed at all. That was not intended by anybody. AdamW
# (Loshchilov & Hutter 2019) leaves the gradient alone and takes the decay from the weight directly:
#
# $$p \leftarrow p - (\text{Adam's step for } g) - \eta \lambda p.$$

# %% nbgrader={"grade": false, "grade_id": "adamw_update", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
class AdamW(Adam):
    """Adam with weight decay apart from the gradient (Loshchilov & Hutter 2019).

    Parameters
    ----------
    parameters, learning_rate, beta1, beta2, epsilon
        As for `Adam`.
    weight_decay : float
        The part of each weight that a step takes away, before it is multiplied by the learning rate.
    """

    def __init__(self, parameters, learning_rate: float = 0.001, beta1: float = 0.9, beta2: float = 0.999,
                 epsilon: float = 1e-8, weight_decay: float = 0.01):
        super().__init__(parameters, learning_rate, beta1, beta2, epsilon, weight_decay)

    def update(self, p, g, memory):
        """What to subtract from a parameter.

        Notes
        -----
        ``self.adam_step(g, memory)`` is Adam's step for the gradient g.
        """
        ### BEGIN SOLUTION adamw_update
        return self.adam_step(g, memory) + self.learning_rate * self.weight_decay * p
        ### END SOLUTION


# %% [raw] tags=["exercise"]
# adamw_update:
#   title: Decay apart from the gradient
#   hints:
#     - The formula has two things that are subtracted. `update` returns all that is to be subtracted.
#     - Adam's step for the unchanged gradient, plus learning_rate times weight_decay times p.
#     - "self.adam_step(g, memory) + self.learning_rate * self.weight_decay * p"
#   misconceptions:
#     - name: adds the decay to the gradient
#       says: >-
#         The decay went into the gradient and was divided by its usual size, as in Adam. Here it is taken from the weight directly.
#       code: |
#         return self.adam_step(g + self.weight_decay * p, memory)
#     - name: decay without the learning rate
#       says: >-
#         The decay was not multiplied by the learning rate. Then a lower rate would leave less learning and as much decay as before.
#       code: |
#         return self.adam_step(g, memory) + self.weight_decay * p
#     - name: decay in the wrong direction
#       says: >-
#         What `update` returns is subtracted. With a minus in front of the decay, weights grow.
#       code: |
#         return self.adam_step(g, memory) - self.learning_rate * self.weight_decay * p

# %% nbgrader={"grade": true, "grade_id": "test_adamw_update", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
def test_adamw_update():
    p = Parameter([2.0])
    optimizer = AdamW([p], 0.1, weight_decay=0.25)
    p.grad = Tensor([0.0])
    optimizer.step()
    check(p, [1.95])
    p.grad = Tensor([0.0])
    optimizer.step()
    check(p, [1.90125])
    p = Parameter([2.0])
    p.grad = Tensor([3.0])
    AdamW([p], 0.1, weight_decay=0.25).step()
    check(p, [1.85])
    check(AdamW([p]).weight_decay, 0.01)

test_adamw_update()

# %% nbgrader={"grade": true, "grade_id": "test_optimizers", "locked": true, "points": 0, "schema_version": 3, "solution": false, "task": false}
def test_optimizers():
    for make in (lambda ps: SGD(ps, 0.1, momentum=0.9), lambda ps: RMSProp(ps, 0.1), lambda ps: Adam(ps, 0.1), lambda ps: AdamW(ps, 0.1)):
        p, q = Variable(np.array([1.0, -2.0])), Variable(5.0)
        optimizer = make([p, q])
        for _ in range(3):
            optimizer.zero_grad()
            ((p * p).sum() + q * q).backward()
            optimizer.step()
        twin = [Variable(p.data.copy()), Variable(q.data)]
        other = make(twin)
        other.load_state_dict(optimizer.state_dict())
        for a, b, o in ((p, q, optimizer), (*twin, other)):
            o.zero_grad()
            ((a * a).sum() + b * b).backward()
            o.step()
        check(np.array_equal(p.data, twin[0].data) and q.data == twin[1].data, True)
        check(str(q.dtype), "float32")
    check_raises(ValueError, lambda: Adam([]), "no parameters")
    check_raises(ValueError, lambda: Adam([p]).load_state_dict(SGD([p]).state_dict()), "does not fit")

test_optimizers()

# %% [markdown]
# ## How they move
#
# Back to the valley. Each optimizer gets the best learning rate for it out of a range of twenty-five, and is judged by
# how many steps it needs until the value stays below a thousandth of what it was. The path tells why.

# %%
KINDS = {
    "SGD": lambda ps, rate: SGD(ps, rate),
    "momentum": lambda ps, rate: SGD(ps, rate, momentum=0.8),
    "Nesterov": lambda ps, rate: SGD(ps, rate, momentum=0.8, nesterov=True),
    "RMSProp": lambda ps, rate: RMSProp(ps, rate, alpha=0.9),
    "Adam": lambda ps, rate: Adam(ps, rate),
}


def steps_needed(points):
    """Steps until the value in the valley stays below a thousandth of the first; infinite where it never does."""
    values = 0.5 * (points**2 * STEEPNESS).sum(axis=1)
    above = np.flatnonzero(~(values < values[0] / 1000))
    return above[-1] + 1 if above[-1] + 1 < len(points) else np.inf


best = {}
with np.errstate(over="ignore", invalid="ignore"):
    for name, make in KINDS.items():
        runs = [(rate, path(lambda ps: make(ps, rate), valley, (10.0, 1.0), 300)) for rate in np.geomspace(0.001, 10, 25)]
        rate, points = min(runs, key=lambda run: steps_needed(run[1]))
        best[name] = points
        print(f"{name:9s} best learning rate {rate:6.3f}   steps needed {steps_needed(points)}")

# %%
import matplotlib.pyplot as plt

STYLES = {"SGD": ("#0072b2", "-"), "momentum": ("#d55e00", "--"), "Nesterov": ("#cc79a7", ":"), "RMSProp": ("#e69f00", "-."), "Adam": ("#009e73", "-")}
figure, grid = plt.subplots(len(best), 1, figsize=(7, 7), sharex=True, sharey=True)
x_grid, y_grid = np.meshgrid(np.linspace(-7, 11, 200), np.linspace(-1.5, 1.5, 100))
for axes, (name, points) in zip(grid, best.items()):
    axes.contour(x_grid, y_grid, 0.5 * (x_grid**2 + 50 * y_grid**2), levels=np.geomspace(0.1, 60, 8), colors="0.8", linewidths=0.7)
    axes.plot(*points[:60].T, STYLES[name][1], color=STYLES[name][0], marker=".", markersize=3, linewidth=1)
    axes.annotate(f"{name}: {steps_needed(points)} steps", (11, 1.1), color=STYLES[name][0], ha="right", bbox={"color": "white", "pad": 1})
    axes.set(ylabel="y", ylim=(-1.5, 1.5))
axes.set_xlabel("x")
_ = figure.suptitle("Momentum needs a third of the steps of plain gradient descent", y=0.92)

# %% [markdown]
# At the rate that suits it best, plain gradient descent swings from side to side and then crawls along the floor. With
# momentum the way along the floor gets longer with each step, at the price of rolling past the goal; Nesterov's rule
# brakes earlier. RMSProp and Adam divide the steepness out and set off at the same speed in both directions. RMSProp
# then has a difficulty of its own: its steps hardly get shorter as the slope does, so a rate at which it comes to rest
# is a slow one for the way. It wants a rate that falls, which comes below. This valley runs along the axes, which is
# what an average for each weight can see; a valley that lies across them is harder for these two, and you are asked to
# try one at the end.
#
# ## Against the real thing
#
# The same problem in PyTorch, where it is installed, step for step. Half a formula exchanged (the velocity an average,
# epsilon under the root) would train nearly as well and be something else.

# %%
try:
    import torch
except ImportError:
    print("PyTorch is not installed: the comparison was not made")
else:
    pairs = {
        "SGD": (lambda ps: SGD(ps, 0.01, 0.9, 0.1, True), lambda ps: torch.optim.SGD(ps, 0.01, 0.9, weight_decay=0.1, nesterov=True)),
        "RMSProp": (lambda ps: RMSProp(ps, 0.01), lambda ps: torch.optim.RMSprop(ps, 0.01)),
        "Adam": (lambda ps: Adam(ps, 0.1), lambda ps: torch.optim.Adam(ps, 0.1)),
        "AdamW": (lambda ps: AdamW(ps, 0.1), lambda ps: torch.optim.AdamW(ps, 0.1)),
    }
    for name, (ours, theirs) in pairs.items():
        points = path(ours, valley, (10.0, 1.0), 100)
        q = torch.tensor([10.0, 1.0], dtype=torch.float64, requires_grad=True)
        optimizer = theirs([q])
        for _ in range(100):
            optimizer.zero_grad()
            (0.5 * (q * q * torch.tensor(STEEPNESS)).sum()).backward()
            optimizer.step()
        print(f"{name:8s} after 100 steps differs by {abs(points[-1] - q.detach().numpy()).max():.1e}")

# %% [markdown]
# ## Changing the learning rate on the way
#
# Far from the goal, long steps are right. Near it, they jump around. So the rate is lowered as the training goes on, by
# a *schedule*. All schedules have the same form, a function of how many times `step()` was called, so the base class
# does the rest, and a subclass only says what the rate is.

# %%
#| export
def check_optimizer(name: str, optimizer) -> None:
    """Raise where something is no optimizer."""
    if not all(hasattr(optimizer, part) for part in ("learning_rate", "parameters", "step")):
        raise TypeError(f"{name}: {optimizer!r:.60} is no optimizer. Expected one such as SGD(model.parameters()).")


class Schedule:
    """Changes an optimizer's learning rate as training goes on.

    Parameters
    ----------
    optimizer : Optimizer
        Its learning rate at this moment is the schedule's `base`.

    Attributes
    ----------
    base : float
    count : int
        How many times `step` was called.
    """

    def __init__(self, optimizer):
        check_optimizer(type(self).__name__, optimizer)
        self.optimizer, self.base, self.count = optimizer, optimizer.learning_rate, 0
        optimizer.learning_rate = self.rate(0)

    def rate(self, count: int) -> float:
        """The learning rate after `count` steps."""
        raise TypeError(f"{type(self).__name__} does not say what the rate is: define rate(self, count).")

    def step(self) -> None:
        """Count, and set the optimizer's learning rate. Call it after each epoch, or after each batch."""
        self.count += 1
        self.optimizer.learning_rate = self.rate(self.count)

    def state_dict(self) -> dict:
        """What a resumed run needs to know."""
        return {"base": self.base, "count": self.count}

    def load_state_dict(self, state: dict) -> None:
        """Take over what `state_dict` gave."""
        if not isinstance(state, dict) or not {"base", "count"} <= state.keys():
            raise ValueError(f"{type(self).__name__}: {state!r:.60} is no state of a schedule. Expected what state_dict() gave.")
        self.base, self.count = float(state["base"]), int(state["count"])
        self.optimizer.learning_rate = self.rate(self.count)


def checked_length(name: str, option: str, value) -> int:
    """`value` as an int, once it is seen to be a whole number of at least 1."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"{name}: {option} is {value!r}, but it has to be a whole number of at least 1.")
    return int(value)


# %% [markdown]
# Three of them. `StepLR` multiplies the rate by `gamma` every `step_size` steps. `CosineLR` (Loshchilov & Hutter 2017)
# follows half a wave of the cosine from the base down to a minimum: slowly at first, then fast, and slowly again; after
# `total` steps it stays there. `WarmupLR` starts low and rises in a straight line to the base, because the first
# gradients of a fresh network say little; then another schedule can take over, which starts to count at that point.

# %% nbgrader={"grade": false, "grade_id": "schedules", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
class StepLR(Schedule):
    """Multiplies the learning rate by `gamma` every `step_size` steps."""

    def __init__(self, optimizer, step_size: int, gamma: float = 0.1):
        self.step_size, self.gamma = checked_length("StepLR", "step_size", step_size), checked_positive("StepLR", "gamma", gamma)
        super().__init__(optimizer)

    def rate(self, count: int) -> float:
        """The base for the first `step_size` counts (0 to step_size - 1), then gamma times as much for as many, and so on."""
        ### BEGIN SOLUTION step_lr
        return self.base * self.gamma ** (count // self.step_size)
        ### END SOLUTION


class CosineLR(Schedule):
    """Lowers the learning rate from the base to `minimum` in `total` steps, along half a cosine (Loshchilov & Hutter 2017)."""

    def __init__(self, optimizer, total: int, minimum: float = 0.0):
        self.total, self.minimum = checked_length("CosineLR", "total", total), checked_positive("CosineLR", "minimum", minimum)
        super().__init__(optimizer)

    def rate(self, count: int) -> float:
        """The base at 0, halfway between base and minimum at total / 2, the minimum at `total` and after it.

        Notes
        -----
        ``(1 + math.cos(math.pi * part)) / 2`` goes from 1 to 0 as `part` goes from 0 to 1.
        """
        ### BEGIN SOLUTION cosine_lr
        part = min(count / self.total, 1.0)
        return self.minimum + (self.base - self.minimum) * (1 + math.cos(math.pi * part)) / 2
        ### END SOLUTION


class WarmupLR(Schedule):
    """Raises the learning rate in a straight line to the base in `steps` steps; then follows the schedule `after`, or stays."""

    def __init__(self, optimizer, steps: int, after: Schedule | None = None):
        if after is not None and getattr(after, "optimizer", None) is not optimizer:
            raise ValueError(f"WarmupLR: after is {after!r:.60}, no schedule or one of another optimizer. Make both for the same one.")
        self.steps, self.after = checked_length("WarmupLR", "steps", steps), after
        super().__init__(optimizer)

    def rate(self, count: int) -> float:
        """base / steps at count 0, base at count steps - 1; from count `steps` on ``after.rate``, counted from 0 again.

        Notes
        -----
        Where `after` is None the rate stays at the base.
        """
        ### BEGIN SOLUTION warmup_lr
        if count < self.steps:
            return self.base * (count + 1) / self.steps
        return self.base if self.after is None else self.after.rate(count - self.steps)
        ### END SOLUTION


# %% [raw] tags=["exercise"]
# step_lr:
#   title: Down the stairs
#   hints:
#     - How often has the rate been lowered after `count` steps?
#     - Divide the count by the step size, rounding down. gamma to that power times the base is the rate.
#     - "self.gamma ** (count // self.step_size)"
#   misconceptions:
#     - name: lowers at every step
#       says: >-
#         The rate fell at every step. It falls once in step_size steps: divide the count first, rounding down.
#       code: |
#         return self.base * self.gamma**count
#     - name: a slope in place of stairs
#       says: >-
#         The rate fell a little at every step, because the count was divided without rounding. Use //.
#       code: |
#         return self.base * self.gamma ** (count / self.step_size)
#     - name: one step too early
#       says: >-
#         The first fall came one step too early. The base holds for step_size counts, 0 to step_size - 1.
#       code: |
#         return self.base * self.gamma ** ((count + 1) // self.step_size)
# cosine_lr:
#   title: Half a wave
#   hints:
#     - Which part of the way is done after `count` steps, and what is it after more than `total`?
#     - part is count / total, but at most 1. The cosine expression of the note goes from 1 to 0; stretch it to go from base to minimum.
#     - "self.minimum + (self.base - self.minimum) * (1 + math.cos(math.pi * part)) / 2"
#   misconceptions:
#     - name: rises again
#       says: >-
#         After `total` steps the rate rose again, for the cosine goes on. Keep the part at 1.
#       code: |
#         part = count / self.total
#         return self.minimum + (self.base - self.minimum) * (1 + math.cos(math.pi * part)) / 2
#     - name: a whole wave
#       says: >-
#         The rate reached its minimum halfway. From the top of a cosine to its bottom is half a wave: pi, not two pi.
#       code: |
#         part = min(count / self.total, 1.0)
#         return self.minimum + (self.base - self.minimum) * (1 + math.cos(2 * math.pi * part)) / 2
#     - name: puts the minimum on top
#       says: >-
#         The rate started above the base: the minimum was added to a wave that already reaches from base to 0. The wave spans base - minimum.
#       code: |
#         part = min(count / self.total, 1.0)
#         return self.minimum + self.base * (1 + math.cos(math.pi * part)) / 2
# warmup_lr:
#   title: A slow start
#   hints:
#     - With four steps of warming up, which four rates are meant? And what is count when the next schedule begins?
#     - While count < steps, base * (count + 1) / steps. After that the base, or the following schedule's rate at count - steps.
#     - "self.after.rate(count - self.steps)"
#   misconceptions:
#     - name: starts at zero
#       says: >-
#         The first rate is 0, so the first step does nothing. Start with one part of `steps`.
#       code: |
#         if count < self.steps:
#             return self.base * count / self.steps
#         return self.base if self.after is None else self.after.rate(count - self.steps)
#     - name: the next schedule starts in the middle
#       says: >-
#         The schedule that follows was asked for the whole count, so the warming up was counted against it. It begins at 0 when
#         warming up ends.
#       code: |
#         if count < self.steps:
#             return self.base * (count + 1) / self.steps
#         return self.base if self.after is None else self.after.rate(count)

# %% nbgrader={"grade": true, "grade_id": "test_step_lr", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
def test_step_lr():
    optimizer = SGD([Parameter([0.0])], 0.8)
    schedule = StepLR(optimizer, step_size=3, gamma=0.5)
    check([schedule.rate(n) for n in range(7)], [0.8, 0.8, 0.8, 0.4, 0.4, 0.4, 0.2])
    for _ in range(3):
        schedule.step()
    check(optimizer.learning_rate, 0.4)
    check_raises(ValueError, lambda: StepLR(optimizer, step_size=0), "step_size is 0")

test_step_lr()

# %% nbgrader={"grade": true, "grade_id": "test_cosine_lr", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
def test_cosine_lr():
    schedule = CosineLR(SGD([Parameter([0.0])], 1.0), total=4)
    check([schedule.rate(n) for n in range(6)], [1.0, 0.8535534, 0.5, 0.1464466, 0.0, 0.0])
    schedule = CosineLR(SGD([Parameter([0.0])], 1.0), total=2, minimum=0.5)
    check([schedule.rate(n) for n in range(4)], [1.0, 0.75, 0.5, 0.5])

test_cosine_lr()

# %% nbgrader={"grade": true, "grade_id": "test_warmup_lr", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
def test_warmup_lr():
    class Falling(Schedule):
        def rate(self, count):
            return self.base - 0.1 * count
    optimizer = SGD([Parameter([0.0])], 0.8)
    schedule = WarmupLR(optimizer, steps=4)
    check(optimizer.learning_rate, 0.2)
    check([schedule.rate(n) for n in range(6)], [0.2, 0.4, 0.6, 0.8, 0.8, 0.8])
    optimizer = SGD([Parameter([0.0])], 0.8)
    schedule = WarmupLR(optimizer, steps=2, after=Falling(optimizer))
    check([schedule.rate(n) for n in range(5)], [0.4, 0.8, 0.8, 0.7, 0.6])

test_warmup_lr()

# %%
figure, axes = plt.subplots(figsize=(7, 3))
schedules = {
    "StepLR": (lambda o: StepLR(o, 15, 0.3), "#0072b2", "-", 31, (0, 5)), "CosineLR": (lambda o: CosineLR(o, 50), "#d55e00", "--", 18, (-60, -12)),
    "WarmupLR, then CosineLR": (lambda o: WarmupLR(o, 10, after=CosineLR(o, 40)), "#009e73", ":", 32, (5, 5)),
}  # fmt: skip
for name, (make, colour, style, place, offset) in schedules.items():
    schedule = make(SGD([Parameter([0.0])], 1.0))
    rates = [schedule.rate(n) for n in range(51)]
    axes.plot(rates, style, color=colour)
    axes.annotate(name, (place, rates[place]), color=colour, xytext=offset, textcoords="offset points")
_ = axes.set(xlabel="steps of the schedule", ylabel="learning rate", title="Three ways down, one of them with a way up before")

# %% [markdown]
# ## Finding the learning rate
#
# Where should the rate start? Trying powers of ten costs a run for each. Smith (2017) does it in one: begin with a rate
# that is far too low and raise it a little before every batch, until the loss explodes. While the rate is too low the
# loss stands still; in the useful range it falls; beyond, it rises. A good rate lies below the one at which the loss
# was lowest, and ten times below is a common choice.
#
# Nothing of this run shall remain. Weights, optimizer, the generators of dropout and the loader's count of epochs are
# put back afterwards, whatever happened.

# %%
#| export
@contextmanager
def put_back(model, optimizer, dataloader):
    """Afterwards the weights, the optimizer, random generators, modes and the loader are as they were."""
    values = [np.array(p.data)[()] for p in optimizer.parameters]
    state = optimizer.state_dict()
    whole = snapshot(model) if isinstance(model, Module) else None
    random = [(g, g.bit_generator.state) for g in generators(model)]
    modes = [(part, part.training) for part in parts_of(model) if isinstance(part, Module)]
    loader = loader_state(dataloader)
    try:
        yield
    finally:
        if whole is not None:
            model.load_state_dict(whole)
        for p, value in zip(optimizer.parameters, values):
            p.data, p.grad = value, None
        optimizer.load_state_dict(state)
        for g, kept in random:
            g.bit_generator.state = kept
        for part, mode in modes:
            part.training = mode
        for name, kept in loader.items():
            setattr(dataloader, name, kept)


def endless(dataloader):
    """The batches of a dataloader, again and again."""
    while True:
        empty = True
        for batch in dataloader:
            empty = False
            yield batch
        if empty:
            raise ValueError("find_learning_rate: the dataloader gave no batches. A generator is used up after one round.")


def tried_step(model, optimizer, loss_function, x, y) -> float:
    """The loss of a training step; infinite where it is no number."""
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            loss, _ = train_step(model, optimizer, loss_function, x, y)
    except NotFiniteError:
        return math.inf
    return loss if math.isfinite(loss) else math.inf


class RateSearch:
    """What `find_learning_rate` found.

    Attributes
    ----------
    rates, losses : list of float
        Each rate that was tried, and the loss of its batch.
    smooth : array
        The losses, smoothed.
    suggestion : float
        A tenth of the rate at which the smoothed loss was lowest.
    """

    def __init__(self, rates, losses):
        self.rates, self.losses = list(rates), list(losses)
        self.smooth = smoothed(np.array([loss for loss in losses if math.isfinite(loss)]))
        self.suggestion = self.rates[int(np.argmin(self.smooth))] / 10 if len(self.smooth) else float("nan")

    def plot(self, ax=None):
        """Draw the smoothed loss against the rate, with the suggestion; returns the axes."""
        ax = pyplot("RateSearch.plot").subplots(figsize=(6, 3.5))[1] if ax is None else ax
        ax.plot(self.rates[: len(self.smooth)], self.smooth, color="#0072b2")
        ax.axvline(self.suggestion, color="#d55e00", linestyle="--")
        ax.annotate(f" {self.suggestion:.2g}", (self.suggestion, self.smooth.min()), color="#d55e00")
        ax.set(xlabel="learning rate", ylabel="loss, smoothed", xscale="log")
        return ax


def smoothed(values: np.ndarray, keep: float = 0.8) -> np.ndarray:
    """A running average that keeps that part of the old value, corrected for its beginning as Adam's are."""
    out, average = np.zeros(len(values)), 0.0
    for i, value in enumerate(values):
        average = keep * average + (1 - keep) * value
        out[i] = average / (1 - keep ** (i + 1))
    return out


# %% nbgrader={"grade": false, "grade_id": "find_learning_rate", "locked": false, "schema_version": 3, "solution": true, "task": false}
#| export
def find_learning_rate(model, optimizer, loss_function, dataloader, low: float = 1e-6, high: float = 10.0, steps: int = 100) -> RateSearch:
    """Try learning rates from `low` to `high` in one run, a batch for each (Smith 2017).

    Parameters
    ----------
    model, optimizer, loss_function, dataloader
        As for a Trainer. All are as before when the search is over.
    low, high : float
        First and last rate. From one batch to the next the rate is multiplied by the same number.
    steps : int, at least 2

    Returns
    -------
    RateSearch

    Notes
    -----
    ``endless(dataloader)`` gives batches without end, ``np.geomspace(low, high, steps)`` the rates, ``optimizer.learning_rate = float(rate)`` sets one, and
    ``tried_step(model, optimizer, loss_function, x, y)`` takes a training step and gives its loss. Append to `rates` and `losses` at every
    step, and stop after the first loss that is larger than four times the smallest so far.
    """
    check_optimizer("find_learning_rate", optimizer)
    check_loader("find_learning_rate", dataloader)
    low, high = (checked_positive("find_learning_rate", name, rate) for name, rate in (("low", low), ("high", high)))
    if not 0 < low < high:
        raise ValueError(f"find_learning_rate: rates from {low} to {high} were asked for. Expected 0 < low < high.")
    if checked_length("find_learning_rate", "steps", steps) < 2:
        raise ValueError("find_learning_rate: steps is 1, but it has to be at least 2: the first rate and the last.")
    rates, losses = [], []
    with put_back(model, optimizer, dataloader):
        if isinstance(model, Module):
            model.train()
        ### BEGIN SOLUTION find_learning_rate
        for rate, (x, y) in zip(np.geomspace(low, high, steps), endless(dataloader)):
            optimizer.learning_rate = float(rate)
            rates.append(float(rate))
            losses.append(tried_step(model, optimizer, loss_function, x, y))
            if losses[-1] > 4 * min(losses):
                break
        ### END SOLUTION
    return RateSearch(rates, losses)


# %% [raw] tags=["exercise"]
# find_learning_rate:
#   title: All rates in one run
#   hints:
#     - Rates and batches go in pairs. Which function makes pairs of two sequences, and stops with the shorter?
#     - For each pair set the rate, append it, take a step and append its loss. Break where the loss is larger than four times min(losses).
#     - "for rate, (x, y) in zip(..., endless(dataloader)), with np.geomspace in the gap: rates in equal ratios"
#   misconceptions:
#     - name: rates in equal distances
#       says: >-
#         The rates were spread evenly, so that nearly all of them lie in the topmost power of ten. Rates matter by their ratio: np.geomspace.
#       code: |
#         for rate, (x, y) in zip(np.linspace(low, high, steps), endless(dataloader)):
#             optimizer.learning_rate = float(rate)
#             rates.append(float(rate))
#             losses.append(tried_step(model, optimizer, loss_function, x, y))
#             if losses[-1] > 4 * min(losses):
#                 break
#     - name: never sets the rate
#       says: >-
#         The rates were written down, but the optimizer never heard of them: every step used its own.
#       code: |
#         for rate, (x, y) in zip(np.geomspace(low, high, steps), endless(dataloader)):
#             rates.append(float(rate))
#             losses.append(tried_step(model, optimizer, loss_function, x, y))
#             if losses[-1] > 4 * min(losses):
#                 break
#     - name: compares with the first loss
#       says: >-
#         The end was measured against the first loss. What counts is the smallest so far: where the loss has fallen far, four times the first comes
#         much too late.
#       code: |
#         for rate, (x, y) in zip(np.geomspace(low, high, steps), endless(dataloader)):
#             optimizer.learning_rate = float(rate)
#             rates.append(float(rate))
#             losses.append(tried_step(model, optimizer, loss_function, x, y))
#             if losses[-1] > 4 * losses[0]:
#                 break
#     - name: goes through the data once
#       says: >-
#         The search ended with the dataloader, before all rates were tried. endless(dataloader) begins again.
#       code: |
#         for rate, (x, y) in zip(np.geomspace(low, high, steps), dataloader):
#             optimizer.learning_rate = float(rate)
#             rates.append(float(rate))
#             losses.append(tried_step(model, optimizer, loss_function, x, y))
#             if losses[-1] > 4 * min(losses):
#                 break

# %% nbgrader={"grade": true, "grade_id": "test_find_learning_rate", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def test_find_learning_rate():
    w = Variable([8.0])
    optimizer, batches = GradientDescent([w], 0.1), [(Tensor([1.0]), Tensor([0.0]))] * 3
    square = lambda y_pred, y_true: ((y_pred - y_true) * (y_pred - y_true)).sum()
    found = find_learning_rate(lambda x: w * x, optimizer, square, batches, low=0.001, high=0.1, steps=5)
    check(found.rates, [0.001, 0.0031622777, 0.01, 0.031622777, 0.1])
    check(found.losses[:2], [64.0, 63.744256])
    check(found.losses[4], 53.043705)
    check(w, [8.0])
    check(optimizer.learning_rate, 0.1)
    found = find_learning_rate(lambda x: w * x, optimizer, square, batches, low=0.3, high=76.8, steps=9)
    check(found.rates, [0.3, 0.6, 1.2, 2.4, 4.8])
    check(found.losses, [64.0, 10.24, 0.4096, 0.802816, 11.592663])
    check(find_learning_rate(lambda x: w * x, optimizer, square, batches, low=1.55, high=6.2, steps=3).losses, [64.0, 282.24])
    check(find_learning_rate(lambda x: w * x, optimizer, square, batches, low=1.5, high=6.0, steps=3).losses, [64.0, 256.0, 6400.0])

test_find_learning_rate()

# %% [markdown]
# On the digits, for two optimizers. Then the suggested rate is put to the test: each optimizer is trained for ten
# epochs with it, and with a tenth and ten times as much.

# %%
train, _ = digits_split()
train, validation = train_test_split(train, test_size=237, seed=1, stratify=True)
loss_function = CrossEntropyLoss()


def digits_run(make_optimizer, seed, epochs=10, hidden=64):
    """Validation loss and accuracy after some epochs."""
    model = create_mlp(64, [hidden], 10, rng=seed)
    trainer = Trainer(model, make_optimizer(model.parameters()), loss_function, [Accuracy()])
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            trainer.fit(DataLoader(train, batch_size=32, seed=seed), epochs=epochs, quiet=True)
            return trainer.evaluate(DataLoader(validation, batch_size=237, shuffle=False))
    except NotFiniteError:
        return {"loss": math.inf, "accuracy": 0.0}


figure, grid = plt.subplots(1, 2, figsize=(9, 3.2))
for axes, (name, make) in zip(grid, (("SGD", SGD), ("Adam", Adam))):
    model = create_mlp(64, [64], 10, rng=0)
    found = find_learning_rate(model, make(model.parameters()), loss_function, DataLoader(train, batch_size=32, seed=0))
    found.plot(axes).set_title(name)
    print(f"{name:5s} suggestion {found.suggestion:.2g}", end="")
    for factor in (0.1, 1, 10):
        result = digits_run(lambda ps: make(ps, factor * found.suggestion), 0)
        print(f"   with {factor * found.suggestion:.2g}: loss {result['loss']:.3f}", end="")
    print()
_ = figure.suptitle("The loss stands still, falls, and explodes: a good rate lies before its lowest point", y=1.04)

# %% [markdown]
# The suggestion is a start and not the best there is: the rates beside it show how much room is left, and on which side
# of them the cliff lies. What it costs is one short run, whatever the number of rates.
#
# ## Which one is best?
#
# For the digits this can be measured. Every optimizer gets the same number of learning rates to choose from, spread
# over its useful range, and the choice is made by the validation loss, averaged over two seeds. A comparison in which
# one side was tuned and the other was not says only who was tuned.

# %%
CANDIDATES = {
    "SGD": (lambda ps, rate: SGD(ps, rate), np.geomspace(0.1, 10, 5)),
    "SGD, momentum": (lambda ps, rate: SGD(ps, rate, momentum=0.9), np.geomspace(0.01, 1, 5)),
    "RMSProp": (lambda ps, rate: RMSProp(ps, rate), np.geomspace(0.001, 0.1, 5)),
    "Adam": (lambda ps, rate: Adam(ps, rate), np.geomspace(0.002, 0.2, 5)),
    "AdamW": (lambda ps, rate: AdamW(ps, rate), np.geomspace(0.002, 0.2, 5)),
}
for name, (make, rates) in CANDIDATES.items():
    losses = [np.mean([digits_run(lambda ps: make(ps, rate), seed)["loss"] for seed in (0, 1)]) for rate in rates]
    print(f"{name:14s} best rate {rates[np.argmin(losses)]:6.4f}   validation loss {min(losses):.3f}   over all five rates from {min(losses):.3f} to {max(losses):.3f}")

# %% [markdown]
# Once each has a good rate, the distance between them is small on a problem like this one. The wide differences are
# between the rates. That is the sober form of most claims about optimizers (Schmidt et al. 2021): a tuned one beats an
# untuned one. What Adam buys is less tuning: its step has a length that does not depend on how large gradients happen
# to be in a given layer.
#
# ## What it costs
#
# The memory of an optimizer is as large as the parameters, once for momentum or RMSProp and twice for Adam. And a step
# goes through all of it. For a million weights:

# %%
def seconds(call, repeat=20):
    """The fastest of a few runs, in seconds."""
    best = float("inf")
    for _ in range(repeat):
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return best


p = Parameter(np.ones((1000, 1000), dtype=np.float32))
p.grad = Tensor(np.full((1000, 1000), 1e-3, dtype=np.float32))
for name, (make, rates) in CANDIDATES.items():
    optimizer = make([p], rates[0])
    held = sum(a.nbytes for memory in optimizer.memory for a in memory.values() if isinstance(a, np.ndarray))
    print(f"{name:14s} memory {held / p.data.nbytes:.0f} times the parameters   a step {1e3 * seconds(optimizer.step):6.2f} ms")

# %% [markdown]
# ## Where next
#
# - *A valley that lies across.* Turn the valley of this chapter by 45 degrees: $f$ of $(x + y)/\sqrt 2$ and $(x -
#   y)/\sqrt 2$. Which optimizers do not notice, and which lose their advantage? Say first why.
# - *One cycle.* Write a schedule that rises to the base in the first third and falls far below it in the rest (Smith &
#   Topin 2018). Use `WarmupLR` and `CosineLR`, or derive a class with `rate` alone.
# - *Look at the steps.* For Adam, record the length of every weight's step in units of the learning rate. How many are
#   longer than 1, and when can that be at all?
#
# Left out here, and present in the real ones: different settings for groups of parameters, steps for sparse gradients,
# one fused kernel for all parameters at once, and second-order methods, for which the autograd chapter's `hvp` would be
# the beginning.
