from .activations import ACTIVATIONS, Activation, Scratch
from .backend import BACKENDS
from .layout import Network
from .learner import Learned, Learner
from .losses import LOSSES, Loss
from .optimizers import OPTIMIZERS, Optimizer
from .scaler import Scaler
from .schedules import SCHEDULES, Schedule

__all__ = [
    "ACTIVATIONS",
    "BACKENDS",
    "LOSSES",
    "OPTIMIZERS",
    "SCHEDULES",
    "Activation",
    "Learned",
    "Learner",
    "Loss",
    "Network",
    "Optimizer",
    "Scaler",
    "Schedule",
    "Scratch",
]
