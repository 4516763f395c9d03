"""The made-up runtime of the screens' tests promises what the real one does, and no more."""

import inspect

from explainers.runtime import Runtime

OWN = {"change"}  # what tests alone do to it


def public(kind):
    return {name: one for name, one in inspect.getmembers(kind, inspect.isfunction) if not name.startswith("_")}


def test_every_method_takes_what_the_real_one_takes(runtime):
    real, fake = public(Runtime), public(type(runtime))
    assert fake.keys() - OWN <= real.keys()
    for name in fake.keys() - OWN:
        assert inspect.signature(fake[name]).parameters == inspect.signature(real[name]).parameters, name
