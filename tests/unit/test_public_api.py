"""What can be imported is what is promised, and every public thing is documented."""

import importlib
import inspect
import pkgutil
import re
from pathlib import Path
from types import ModuleType

import pytest

import connectors
import stream_bp

MODULES = [
    importlib.import_module(info.name)
    for package in (stream_bp, connectors)
    for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
]


PUBLIC = {
    "connectors": [
        "BadRow",
        "ConnectorError",
        "Cursor",
        "CursorError",
        "Decisions",
        "EXTENSIONS",
        "FileCursor",
        "FileIdentity",
        "FileStart",
        "Follow",
        "LASTING",
        "MemorySource",
        "NewColumnsError",
        "NullWord",
        "Opener",
        "Prefetcher",
        "Reader",
        "RecordBatchSlice",
        "RowError",
        "SchemaError",
        "Source",
        "SourceError",
        "SourceEvent",
        "UnavailableError",
        "open_source",
        "open_writer",
        "prefetch",
        "rebatch",
        "rebatch_as_it_comes",
        "redact",
    ],
    "connectors.contract": [
        "N_ROWS",
        "SCHEMA",
        "SourceContract",
        "blocks",
        "rows",
        "table",
        "through_json",
    ],
    "connectors.errors": [
        "ConnectorError",
        "ContinuedError",
        "CursorError",
        "NewColumnsError",
        "RowError",
        "SchemaError",
        "SourceError",
        "UnavailableError",
        "foreign_errors",
        "is_of_system",
    ],
    "connectors.schemas": [
        "NOTHING",
        "bounded",
        "cast",
        "cast_what_can_be",
        "doubt",
        "doubtful",
        "exception",
        "failing",
        "failures",
        "is_among",
        "is_index",
        "like",
        "mark_index",
        "plain",
        "plain_columns",
        "refuse_strangers",
        "require",
        "tell_apart",
        "unify",
        "unique_names",
        "wider_type",
        "with_exception",
    ],
    "stream_bp": [
        "Checkpointer",
        "Job",
        "JobConfig",
        "Learner",
        "PrequentialEvaluator",
        "Snapshot",
        "StreamBPError",
        "load",
    ],
    "stream_bp.drift": [
        "DETECTORS",
        "Detector",
        "DriftEvent",
        "DriftMonitor",
        "ErrorDrift",
        "FeatureDrift",
    ],
    "stream_bp.errors": [
        "CheckpointError",
        "ConfigError",
        "DataError",
        "DiskError",
        "DivergenceError",
        "EXIT_CODES",
        "LockedError",
        "MissingValueError",
        "NumericsError",
        "StreamBPError",
        "exit_code",
    ],
    "stream_bp.metrics": [
        "ClassificationMetrics",
        "PrequentialEvaluator",
        "RegressionMetrics",
    ],
    "stream_bp.nn": [
        "ACTIVATIONS",
        "Activation",
        "BACKENDS",
        "LOSSES",
        "Learner",
        "Loss",
        "OPTIMIZERS",
        "Optimizer",
        "ParameterLayout",
        "SCHEDULES",
        "Scaler",
        "Schedule",
        "Scratch",
        "StepOutput",
    ],
    "stream_bp.river": [
        "MLPClassifier",
        "MLPRegressor",
    ],
}
"""What is promised: a name that comes or goes is a decision. Every other path of a module is private."""


@pytest.mark.parametrize("place", PUBLIC)
def test_the_public_names_are_these(place: str) -> None:
    """Each public module exports what is promised, and all of it can be had."""
    module = importlib.import_module(place)
    assert sorted(module.__all__) == PUBLIC[place]
    assert all(getattr(module, name) is not None for name in module.__all__)
    with pytest.raises(AttributeError, match="Lerner"):
        _ = getattr(module, "Lerner")  # noqa: B009 - the type checker knows better


def test_the_page_names_what_is_public() -> None:
    """The architecture page lists the same modules, and calls every other path private."""
    page = (Path(stream_bp.__file__).parent / "docs" / "explanation" / "architecture.md").read_text()
    section = page.partition("## Public and private")[2].partition("What each exports")[0]
    assert set(re.findall(r"`((?:stream_bp|connectors)[\w.]*)`", section)) == set(PUBLIC)


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
