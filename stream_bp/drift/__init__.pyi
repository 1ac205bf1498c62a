from .detectors import DETECTORS, Detector
from .error import ErrorDrift
from .features import FeatureDrift
from .monitor import Drift, DriftEvent

__all__ = [
    "DETECTORS",
    "Detector",
    "Drift",
    "DriftEvent",
    "ErrorDrift",
    "FeatureDrift",
]
