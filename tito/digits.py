"""The network that reads digits and how it is trained: for `tito demo digits`, and for the book's page that trains it.

Nothing but the package is needed here, so that it runs in a browser too.
"""

from __future__ import annotations

# Chosen on a validation part of the training digits; the test digits took part in no choice.
HIDDEN, DROPOUT, LEARNING_RATE, WEIGHT_DECAY, EPOCHS, BATCH_SIZE = 256, 0.3, 0.003, 0.01, 60, 32
VALIDATION = 137  # of the 1,437, to be watched while training


def parts() -> tuple:
    """The digits to train on, to watch and to test on: always the same."""
    from tinytorch.core.dataloader import digits_split, train_test_split

    training, test = digits_split()
    return *train_test_split(training, test_size=VALIDATION, seed=1, stratify=True), test


def network(seed: int, learning_rate: float = LEARNING_RATE) -> tuple:
    """A network with weights drawn anew, and its optimizer."""
    import numpy as np

    from tinytorch.core.activations import ReLU
    from tinytorch.core.layers import Dense, Dropout, he_normal
    from tinytorch.core.networks import Sequential
    from tinytorch.core.optimizers import AdamW

    rng = np.random.default_rng(seed)
    hidden = Dense(64, HIDDEN, weight_init=he_normal, rng=rng)
    model = Sequential([hidden, ReLU(), Dropout(DROPOUT, rng=rng), Dense(HIDDEN, 10, rng=rng)])
    return model, AdamW(model.parameters(), learning_rate, weight_decay=WEIGHT_DECAY)


def training_of(model, optimizer, seen, watched, epochs: int, seed: int, batch_size=BATCH_SIZE) -> tuple:
    """What a training is made of: the trainer, the batches to learn from and to watch, the learning rate's schedule."""
    from tinytorch.core.dataloader import DataLoader
    from tinytorch.core.optimizers import CosineLR
    from tinytorch.core.training import Accuracy, CrossEntropyLoss, Trainer

    trainer = Trainer(model, optimizer, CrossEntropyLoss(), [Accuracy()])
    batches = DataLoader(seen, batch_size=batch_size, seed=seed)
    watching = DataLoader(watched, batch_size=min(len(watched), 1000), shuffle=False)
    return trainer, batches, watching, CosineLR(optimizer, epochs)
