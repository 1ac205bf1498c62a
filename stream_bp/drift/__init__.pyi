from .detectors import DETECTORS
from .error import ErrorDrift
from .features import FeatureDrift
from .monitor import Drift

__all__ = [
    "DETECTORS",
    "Drift",
    "ErrorDrift",
    "FeatureDrift",
]
