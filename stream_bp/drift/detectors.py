"""Drift detectors of River (https://riverml.xyz), under one protocol."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from stream_bp import choices
from stream_bp.choices import Choices

__all__ = ["DETECTORS", "Detector", "adwin", "kswin", "page_hinkley"]


class Detector(Protocol):
    """The interface of a drift detector."""

    def feed(self, values: Sequence[float]) -> bool:
        """Add the next values, and return whether there is a drift among them.

        Parameters
        ----------
        values
            Numbers in the order of the stream, each a sum of errors of rows.
        """


class _Adwin:
    """River's ADWIN, without River's package of detectors. That import takes a second and 130 MiB."""

    def __init__(self) -> None:
        from river._river_rust.drift import AdaptiveWindowing  # noqa: PLC0415

        self._make = AdaptiveWindowing
        self._begin()

    def _begin(self) -> None:
        # The defaults of river.drift.ADWIN.
        self._window = self._make(delta=0.002, clock=32, max_buckets=5, min_window_length=5, grace_period=10)

    def feed(self, values: Sequence[float]) -> bool:
        """Add the next values, and return whether there is a drift among them. The window restarts after each drift."""
        has_drifted = False
        for value in values:
            if self._window.update(value):
                has_drifted = True
                self._begin()
        return has_drifted


class _River:
    """Adapter for another detector of River."""

    def __init__(self, detector: Any) -> None:
        self._detector = detector

    def feed(self, values: Sequence[float]) -> bool:
        """Add the next values, and return whether there is a drift among them."""
        has_drifted = False
        for value in values:
            self._detector.update(value)
            has_drifted |= self._detector.drift_detected
        return has_drifted


def adwin(span: int) -> Detector:
    """Make an ADWIN. Its bound does not depend on how many rows a value stands for."""
    return _Adwin()


def page_hinkley(span: int) -> Detector:
    """Make a Page-Hinkley test for an increase. Its tolerance grows with the rows in a value."""
    from river.drift import PageHinkley  # noqa: PLC0415

    return _River(PageHinkley(delta=0.005 * span, mode="up"))


def kswin(span: int) -> Detector:
    """Make a Kolmogorov-Smirnov test of windows. Its fixed seed makes it repeatable."""
    from river.drift import KSWIN  # noqa: PLC0415

    return _River(KSWIN(seed=0))


DETECTORS: Choices[Callable[[int], Detector]] = choices.DETECTORS
"""Functions that make a detector, given the rows in a value. :meth:`~stream_bp.choices.Choices.register` adds one."""
