from .activations import ACTIVATIONS
from .layout import Network
from .learner import Learned, Learner
from .losses import LOSSES
from .optimizers import OPTIMIZERS
from .scaler import Scaler
from .schedules import SCHEDULES, Schedule

__all__ = [
    "ACTIVATIONS",
    "LOSSES",
    "OPTIMIZERS",
    "SCHEDULES",
    "Learned",
    "Learner",
    "Network",
    "Scaler",
    "Schedule",
]
