from .classification import ClassificationTally
from .prequential import Evaluation
from .regression import RegressionTally

__all__ = [
    "ClassificationTally",
    "Evaluation",
    "RegressionTally",
]
