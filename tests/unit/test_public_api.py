"""What can be imported is what is promised, and every public thing is documented."""

import importlib
import inspect
import pkgutil
from types import ModuleType

import pytest

import connectors
import stream_bp

MODULES = [
    importlib.import_module(info.name)
    for package in (stream_bp, connectors)
    for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
]


def test_the_public_names_are_these() -> None:
    """A name that comes or goes is a decision."""
    assert stream_bp.__all__ == [
        "Checkpointer",
        "Evaluation",
        "Job",
        "JobConfig",
        "Learner",
        "Snapshot",
        "StreamBPError",
        "load",
    ]
    assert all(getattr(stream_bp, name) is not None for name in stream_bp.__all__)
    assert all(getattr(connectors, name) is not None for name in connectors.__all__)
    with pytest.raises(AttributeError, match="Lerner"):
        _ = getattr(stream_bp, "Lerner")  # noqa: B009 - the type checker knows better


FACES = {
    "stream_bp.drift": {"DETECTORS", "Detector", "Drift", "DriftEvent", "ErrorDrift", "FeatureDrift"},
    "stream_bp.metrics": {"ClassificationTally", "Evaluation", "RegressionTally"},
    "stream_bp.nn": {
        *("ACTIVATIONS", "BACKENDS", "LOSSES", "OPTIMIZERS", "SCHEDULES"),
        *("Activation", "Learned", "Learner", "Loss", "Network", "Optimizer", "Scaler", "Schedule", "Scratch"),
    },
}


@pytest.mark.parametrize("package", FACES)
def test_the_public_names_of_a_package_are_these(package: str) -> None:
    """What a user needs of it, and what is registered with it."""
    module = importlib.import_module(package)
    assert set(module.__all__) == FACES[package]
    assert all(getattr(module, name) is not None for name in module.__all__)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_everything_public_is_named_and_documented(module: ModuleType) -> None:
    """Each module has __all__, and a docstring for itself and for all that is in it."""
    assert module.__doc__
    for name in module.__all__:
        thing = getattr(module, name)
        if inspect.isclass(thing) or inspect.isfunction(thing):
            assert thing.__doc__, f"{module.__name__}.{name}"
        if inspect.isclass(thing) and thing.__module__ == module.__name__:
            for method, member in vars(thing).items():
                if inspect.isfunction(member) and not method.startswith("_"):
                    assert inspect.getdoc(member), f"{module.__name__}.{name}.{method}"
