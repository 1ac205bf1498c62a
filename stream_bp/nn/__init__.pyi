from .activations import ACTIVATIONS, Activation, Scratch
from .backend import BACKENDS
from .layout import ParameterLayout
from .learner import Learner, StepOutput
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
    "Learner",
    "Loss",
    "Optimizer",
    "ParameterLayout",
    "Scaler",
    "Schedule",
    "Scratch",
    "StepOutput",
]
