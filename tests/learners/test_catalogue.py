from __future__ import annotations

import importlib

import pytest

from learners.catalogue import Method, catalogue
from learners.description import buildable


@pytest.mark.parametrize("method", catalogue(), ids=lambda method: method.name)
def test_every_entry_names_something_that_exists(method: Method) -> None:
    module, _, name = method.build.rpartition(".")
    built = getattr(importlib.import_module(module), name)
    assert callable(built)
    assert method.citation and method.needs and method.good_for


def test_every_learner_class_is_listed() -> None:
    listed = {method.build.rpartition(".")[2] for method in catalogue()}
    # The engine itself stands behind the five methods that configure it, and deep kernels are
    # one method, whatever they know of their targets. A ranking network learns from no support set.
    assert buildable() - {"GradientLearner", "ListNet", "ScaleFreeDeepKernel"} <= listed
