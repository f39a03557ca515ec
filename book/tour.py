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
# # From z = x*y + x**2 to a trained network in twelve minutes
#
# This page goes through the finished library once, from a derivative that fits on a napkin to a network that reads
# handwritten digits. It builds nothing. What it imports is what the chapters build, and each step names the chapter in
# which you would write it yourself. Everything below the code is what the code gave when this page was made.
#
# ## A derivative, by hand and by machine
#
# Take $z = xy + x^2$ at $x = 5$ and $y = 3$. By hand, $\partial z/\partial x = y + 2x = 13$ and
# $\partial z/\partial y = x = 5$. By machine:

# %%
from tinytorch.core.autograd import Variable, draw_graph, explain_backward


def f(x, y):
    return x * y + x**2


x, y = Variable(5.0), Variable(3.0)
z = f(x, y)
z.backward()
print("z =", z)
print("dz/dx =", x.grad)
print("dz/dy =", y.grad)

# %% [markdown]
# A `Variable` is a number, or an array of numbers, that remembers how it was computed. `backward` used what was
# remembered, and left in each input how fast z changes with it. The function itself is ordinary Python, and knows nothing
# of derivatives.
#
# ## What was remembered
#
# Each operation left a node, and the nodes form a graph. Here it is, with the values on the way forward and the gradients
# on the way back:

# %%
draw_graph(f, 5.0, 3.0)

# %% [markdown]
# The walk back can also be written out, a line for each step, as one would do it on paper:

# %%
print(explain_backward(f, 5.0, 3.0))

# %% [markdown]
# The line for `df/dx` is a sum. Two paths lead from x to the result, one through the product and one through the square,
# and what arrives on them is added. That, and a table that holds the derivative of each operation, is the whole idea.
# [The autograd chapter](../modules/source/07_autograd/) builds it, on the arrays of
# [the tensor chapter](../modules/source/02_tensor/).
#
# ## A neuron
#
# A neuron weighs its inputs, adds an offset, and bends the sum. With the bend called ReLU, a negative sum becomes zero.

# %%
from tinytorch.core.activations import relu

inputs = Variable([1.0, 2.0, 3.0])
weights = Variable([0.5, -1.0, 1.0])
offset = Variable(0.25)
out = relu(inputs @ weights + offset)
out.backward()
print("output           ", out)
print("d out / d weights", weights.grad)
print("d out / d offset ", offset.grad)

# %% [markdown]
# The sum was positive, so ReLU let it pass, and the gradient of the weights is the inputs themselves: a weight matters as much
# as the input that it is multiplied by. Were the sum negative, nothing would pass in either direction:

# %%
weights.zero_grad()
out = relu(inputs @ weights - 10.0)
out.backward()
print("output           ", out)
print("d out / d weights", weights.grad)

# %% [markdown]
# Bends of several kinds, and the trouble that each can make, are the subject of
# [the chapter on activations](../modules/source/03_activations/).
#
# ## A layer
#
# A layer is many neurons that see the same inputs. Their weights stand side by side in a matrix, and a whole batch of
# inputs goes through in one product.

# %%
from tinytorch.core.layers import Dense

layer = Dense(3, 2, rng=0)
batch = [[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]]
print(layer, "has weights of shape", layer.weights.shape, "and offsets of shape", layer.bias.shape)
print(layer(batch).detach())

# %% [markdown]
# Two rows went in, and two came out, with two numbers each. The second input was zero, so its row shows the offsets, which
# begin at zero. The weights were drawn at random; `rng=0` makes it the same draw every time.
# [The layers chapter](../modules/source/04_layers/) says how large they should be.
#
# ## How wrong?
#
# Let the layer tell two classes apart. It gives each class a score. A loss turns scores and right answers into one number
# that should become smaller; for classes, this is the cross-entropy.

# %%
from tinytorch.core.training import CrossEntropyLoss

scores = Variable([[2.0, 0.0], [2.0, 0.0]])
loss_function = CrossEntropyLoss()
print("both right:", loss_function(scores, [0, 0]))
print("one wrong: ", loss_function(scores, [0, 1]))

# %% [markdown]
# The first class has the higher score in both rows. Where that is the right answer the loss is small, and where it is wrong
# the loss grows. The gradient of the loss with respect to the scores says which of them should move, and in which direction:

# %%
loss_function(scores, [0, 1]).backward()
print(scores.grad)

# %% [markdown]
# In the first row, the right class has a small negative gradient: a higher score would lower the loss, by little. In the
# second row, the signs are exchanged and the numbers are larger, because that answer was wrong.
#
# ## Gradient descent
#
# Training is a loop of four lines. Compute the loss, walk back, move every weight a little against its gradient, begin
# again. A small task that one layer cannot do is XOR: the answer is 1 if exactly one of two inputs is.

# %%
from tinytorch.core.networks import create_mlp
from tinytorch.core.training import Accuracy, GradientDescent

points, answers = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], [0, 1, 1, 0]
model = create_mlp(2, [8], 2, rng=0)
optimizer = GradientDescent(model.parameters(), learning_rate=0.5)

for step in range(201):
    optimizer.zero_grad()
    loss = loss_function(model(points), answers)
    loss.backward()
    optimizer.step()
    if step % 50 == 0:
        print(f"step {step:3d}   loss {loss.item():.4f}")

print("answers:", model(points).argmax(axis=1), "  right ones:", answers)

# %% [markdown]
# The loss went down, and all four answers are right. `create_mlp` put layers and bends in a row, as
# [the chapter on networks](../modules/source/05_networks/) does, and the four lines are those of
# [the training chapter](../modules/source/08_training/). Nothing in the layers had to be changed for it: they are
# made of operations, and every operation has its row in the table of derivatives.
#
# ## Digits
#
# Now for something that is hard to program by hand. The package holds handwritten digits, small pictures of grey levels, in
# a part to train on and a part to test on.

# %%
import matplotlib.pyplot as plt

from tinytorch.core.dataloader import DataLoader, digits_split

train, test = digits_split()
print(len(train), "digits to train on,", len(test), "to test on, of", train.images.shape[1:], "pixels")

_, grid = plt.subplots(1, 10, figsize=(9, 1.3), layout="constrained")
for axes, image, target in zip(grid, train.images, train.targets):
    axes.imshow(image, cmap="gray_r")
    axes.set_title(target)
    axes.axis("off")

# %% [markdown]
# A `DataLoader` hands them out in batches, in another order each epoch, which is one round through all of them; that is
# [the chapter on data loading](../modules/source/06_dataloader/). The `Trainer` holds the loop from above, and counts how
# many answers are right. The optimizer is Adam, which gives each weight a step of its own, from
# [the optimizers chapter](../modules/source/09_optimizers/).

# %%
from tinytorch.core.networks import count_parameters
from tinytorch.core.optimizers import Adam
from tinytorch.core.training import Trainer

model = create_mlp(64, [64], 10, rng=0)
trainer = Trainer(model, Adam(model.parameters(), learning_rate=0.005), loss_function, [Accuracy()])
history = trainer.fit(DataLoader(train, batch_size=32, seed=0), epochs=20, quiet=True)
print(f"{count_parameters(model)} weights and offsets")
print(history.verdict())

# %%
axes = history.plot()
_ = axes.set_title("The loss on the training digits falls")

# %% [markdown]
# What counts is not the digits that it has seen, but those that took no part in training:

# %%
for name, part in (("training", train), ("test", test)):
    found = trainer.evaluate(DataLoader(part, batch_size=360, shuffle=False))
    print(f"right on the {name} digits: {found['accuracy']:.1%}")

# %% [markdown]
# The second number is the one to be told. It is the lower of the two, as it usually is.
#
# ## Its mistakes
#
# A network says not only which digit it sees but how sure it is. Here are the test digits that it got wrong, at most ten
# of them:

# %%
from tinytorch.core.activations import softmax

shares = softmax(trainer.predict(test.features)).numpy()
guesses = shares.argmax(axis=1)
wrong = (guesses != test.targets).nonzero()[0]
print(len(wrong), "of", len(test), "are mistaken")

_, grid = plt.subplots(2, 5, figsize=(8, 4), layout="constrained")
for axes in grid.ravel():
    axes.axis("off")
for axes, i in zip(grid.ravel(), wrong):
    axes.imshow(test.images[i], cmap="gray_r")
    axes.set_title(f"a {test.targets[i]}, taken for a {guesses[i]}\n({shares[i].max():.0%} sure)", fontsize=9)

# %% [markdown]
# Each title says what was meant, what the network answered, and the share that it gave to its answer. Whether you would
# have read them all is for you to say.
#
# ## From here
#
# You have seen the library from outside, from one derivative to a network with its mistakes. The course is about the inside:
# each import from `tinytorch.core` names the chapter that builds it. You write what it rests on, as exercises with tests that
# say whether yours is right, and read the rest.
# Later chapters read the same digits better with
# [convolutions](../modules/source/10_cnn/), make the network smaller in [compression](../modules/source/11_compression/), and
# put it to use over HTTP in [MLOps](../modules/source/14_mlops/).
#
# [Serious development](serious_development.md) shows how a chapter is worked through.
