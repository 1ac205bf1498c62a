"""Detectors of River (https://riverml.xyz), behind one protocol."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from stream_bp import choices
from stream_bp.choices import Choices

__all__ = ["DETECTORS", "Detector", "adwin", "kswin", "page_hinkley"]


class Detector(Protocol):
    """What is asked of a detector."""

    def feed(self, values: Sequence[float]) -> bool:
        """Take in the next values, and tell whether there is a drift among them."""


class _Adwin:
    """River's ADWIN, without the second and the 130 MiB that River's package of detectors takes to import."""

    def __init__(self) -> None:
        from river._river_rust.drift import AdaptiveWindowing  # noqa: PLC0415

        self._make = AdaptiveWindowing
        self._begin()

    def _begin(self) -> None:
        # The defaults of river.drift.ADWIN.
        self._window = self._make(delta=0.002, clock=32, max_buckets=5, min_window_length=5, grace_period=10)

    def feed(self, values: Sequence[float]) -> bool:
        """Take in the next values, and tell whether there is a drift among them: behind each it begins anew."""
        has_drifted = False
        for value in values:
            if self._window.update(value):
                has_drifted = True
                self._begin()
        return has_drifted


class _River:
    """Another detector of River."""

    def __init__(self, detector: Any) -> None:
        self._detector = detector

    def feed(self, values: Sequence[float]) -> bool:
        """Take in the next values, and tell whether there is a drift among them."""
        has_drifted = False
        for value in values:
            self._detector.update(value)
            has_drifted |= self._detector.drift_detected
        return has_drifted


def adwin(span: int) -> Detector:
    """Make an ADWIN; its bound does not depend on how many rows a value stands for."""
    return _Adwin()


def page_hinkley(span: int) -> Detector:
    """Make a Page-Hinkley test of a rise; what it tolerates grows with the rows in a value."""
    from river.drift import PageHinkley  # noqa: PLC0415

    return _River(PageHinkley(delta=0.005 * span, mode="up"))


def kswin(span: int) -> Detector:
    """Make a Kolmogorov-Smirnov test of windows, with a seed of its own, so that it repeats itself."""
    from river.drift import KSWIN  # noqa: PLC0415

    return _River(KSWIN(seed=0))


DETECTORS: Choices[Callable[[int], Detector]] = choices.DETECTORS
"""Makers of detectors, given the rows in a value; :meth:`~stream_bp.choices.Choices.register` adds one."""
