from .classification import ClassificationMetrics
from .prequential import PrequentialEvaluator
from .regression import RegressionMetrics

__all__ = [
    "ClassificationMetrics",
    "PrequentialEvaluator",
    "RegressionMetrics",
]
