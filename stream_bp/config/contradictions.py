"""Settings that contradict each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ["contradictions"]


def contradictions(config: Any) -> Iterator[tuple[object, str]]:
    """Yield for each rule whether it is broken, and what to say then; settings stand in braces.

    Parameters
    ----------
    config
        The settings, a `JobConfig`.
    """
    reads_twice = config.epochs > 1 or config.shuffle_window is not None
    yield config.follow and reads_twice, "{follow} reads once and in order; leave out {epochs} and {shuffle_window}"
    reason = config.why_not_compiled() if config.backend == "compiled" else None
    yield reason, str(reason)
    is_watched = config.drift_detector != "none"
    yield config.on_drift != "none" and not is_watched, "{on_drift} needs a detector; {drift_detector} is none"
    learns_new = config.new_columns == "learn"
    yield learns_new and config.features, "{new_columns} learn and {features} contradict each other; leave one out"
    for name in ("idle_timeout", "linger"):
        yield getattr(config, name) and not config.follow, f"{{{name}}} needs {{follow}}"
    is_strict = config.max_bad_rows is not None and config.on_bad_row == "error"
    yield is_strict, "{max_bad_rows} has no effect with {on_bad_row} error; choose skip or quarantine"
    has_no_place = config.passthrough_columns and config.predictions_dir is None
    yield has_no_place, "{passthrough_columns} needs {predictions_dir}, the folder of the predictions"
