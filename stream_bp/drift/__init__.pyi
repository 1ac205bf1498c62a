from .detectors import DETECTORS, Detector
from .error import ErrorDrift
from .features import FeatureDrift
from .monitor import DriftEvent, DriftMonitor

__all__ = [
    "DETECTORS",
    "Detector",
    "DriftEvent",
    "DriftMonitor",
    "ErrorDrift",
    "FeatureDrift",
]
