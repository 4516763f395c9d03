"""Models that behave and misbehave, for workers under test; it has the two functions of model_zoo.catalogue."""

import os
import signal
import time

from model_zoo.modalities.tabular import TableInput
from model_zoo.types import Capability, Column, ModelCard, UserError

COLUMNS = tuple(Column(name) for name in "abcd")


def _card(id):
    return ModelCard(id, f"The {id} model", "tabular", "classification", "logit", ("no", "yes"), Capability.GRADIENTS)


PLAIN = ("quick", "slow", "stuck", "crash", "exit", "memory", "odd", "failing", "unloadable")
HOSTILE = (
    "abort",
    "panic",
    "leave",
    "hoard",
    "share",
    "headless",
    "litter",
    "crowd",
    "asleep",
    "deaf",
    "nosy",
    "bare",
    "inherited",
)
LIARS = ("garbage", "endless", "deep", "crowded", "untyped", "foreign", "misshapen", "integers", "wordy", "chatter")
CARDS = {id: _card(id) for id in (*PLAIN, *HOSTILE, *LIARS)}


def cards():
    return tuple(CARDS.values())


def load(id, device="cpu"):
    import torch

    from model_zoo.model import Model

    if id == "unloadable":
        raise UserError("The unloadable model has no weights; train it first.")
    if id == "odd":
        raise ZeroDivisionError("secret detail")
    if id in HOSTILE or id in LIARS:
        import hostile

        getattr(hostile, id)()

    class Toy(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.tensor([[0.0, 0, 0, 0], [1.0, -2, 3, 0]]))

        def forward(self, x):
            if len(x) > 1 or id in ("slow", "memory"):  # for the others the prediction, of one row, works
                misbehave(id, len(x))
            return torch.tanh(x) @ self.weight.T

    return Model(CARDS[id], Toy(), TableInput(COLUMNS, encoding="raw")).to(device)


def misbehave(id, count):
    if id == "slow":
        time.sleep(0.02 * count)
    elif id == "stuck":
        time.sleep(600)
    elif id == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif id == "exit":
        os._exit(3)
    elif id == "memory":
        raise MemoryError
    elif id == "failing":
        raise ZeroDivisionError("no such luck")
