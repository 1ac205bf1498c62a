"""River models by name, each with its usual preprocessing.

Missing values are omitted from a row, which every model here accepts: after scaling, 0 is the mean. Classification
trees use categories directly. For all other models a category becomes an indicator.

The import of River takes a second, so each recipe imports what it needs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from connectors.suggestions import nearest
from stream_bp.errors import ConfigError

if TYPE_CHECKING:
    from river.base import Estimator

    from stream_bp.preprocessing.encoder import Encoder
    from stream_bp.preprocessing.schema import Task

__all__ = ["NETWORK", "build", "check", "names"]

NETWORK = "mlp"
"""The name of the network of this package."""

_NEIGHBORS = 1_000  # rows in which to search for nearest neighbours


def names(task: Task) -> list[str]:
    """Return the models for a task, the network first and slow ones last."""
    return [NETWORK, *_ZOO[task]]


def check(wanted: list[str], task: Task) -> None:
    """Refuse names that are not models of the task.

    Raises
    ------
    ConfigError
        If a name is unknown, does not fit, or is given twice.
    """
    fitting = names(task)
    everything = dict.fromkeys([*fitting, *(name for models in _ZOO.values() for name in models)])
    for name in wanted:
        if name not in everything:
            raise ConfigError(f"unknown model {name!r}{nearest(name, fitting)}; for {task}: {', '.join(fitting)}")
        if name not in fitting:
            raise ConfigError(f"model {name!r} is not for {task}; expected one of {', '.join(fitting)}")
        if wanted.count(name) > 1:
            raise ConfigError(f"model {name!r} is given twice")


def build(name: str, encoder: Encoder, seed: int) -> Estimator | None:
    """Return a new model for the columns of a source; None for the network.

    Parameters
    ----------
    name
        One of :func:`names`.
    encoder
        Task and columns.
    seed
        The seed of random models.
    """
    return None if name == NETWORK else _ZOO[encoder.task][name](encoder, seed)


def _indicators(encoder: Encoder) -> Any:
    """Keep numbers, and make indicators of categories."""
    from river import compose, preprocessing

    numbers: Any = compose.SelectType(float, bool)
    return numbers + (compose.SelectType(str) | preprocessing.OneHotEncoder()) if encoder.categorical else numbers


def _scaled(encoder: Encoder) -> Any:
    """Standardise numbers, and make indicators of categories."""
    from river import compose, preprocessing

    if not encoder.categorical:
        return preprocessing.StandardScaler()
    numbers: Any = compose.SelectType(float, bool) | preprocessing.StandardScaler()
    return numbers + (compose.SelectType(str) | preprocessing.OneHotEncoder())


def _logistic(encoder: Encoder, seed: int) -> Any:
    from river import linear_model

    # River's logistic regression accepts only the labels False and True.
    is_bool = encoder.targets[0].kind == "bool"
    return _scaled(encoder) | (linear_model.LogisticRegression() if is_bool else linear_model.SoftmaxRegression())


def _naive_bayes(encoder: Encoder, seed: int) -> Any:
    from river import naive_bayes

    model: Any = naive_bayes.GaussianNB
    return _indicators(encoder) | model()


def _hoeffding_tree(encoder: Encoder, seed: int) -> Any:
    from river import tree

    if encoder.task == "regression":
        return _scaled(encoder) | tree.HoeffdingTreeRegressor()  # its leaves are linear models
    return tree.HoeffdingTreeClassifier()


def _hoeffding_adaptive_tree(encoder: Encoder, seed: int) -> Any:
    from river import tree

    if encoder.task == "regression":
        return _scaled(encoder) | tree.HoeffdingAdaptiveTreeRegressor(seed=seed)
    return tree.HoeffdingAdaptiveTreeClassifier(seed=seed)


def _linear(encoder: Encoder, seed: int) -> Any:
    from river import linear_model, preprocessing

    return _scaled(encoder) | preprocessing.TargetStandardScaler(regressor=linear_model.LinearRegression())


def _knn(encoder: Encoder, seed: int) -> Any:
    from river import neighbors

    engine = neighbors.LazySearch(window_size=_NEIGHBORS)
    if encoder.task == "regression":
        return _scaled(encoder) | neighbors.KNNRegressor(engine=engine)
    return _scaled(encoder) | neighbors.KNNClassifier(engine=engine)


def _arf(encoder: Encoder, seed: int) -> Any:
    from river import forest

    if encoder.task == "regression":
        return _scaled(encoder) | forest.ARFRegressor(seed=seed)
    return forest.ARFClassifier(seed=seed)


_ZOO: dict[Task, dict[str, Callable[[Encoder, int], Any]]] = {
    "classification": {
        "logistic": _logistic,
        "naive-bayes": _naive_bayes,
        "hoeffding-tree": _hoeffding_tree,
        "hoeffding-adaptive-tree": _hoeffding_adaptive_tree,
        "knn": _knn,
        "arf": _arf,
    },
    "regression": {
        "linear": _linear,
        "hoeffding-tree": _hoeffding_tree,
        "hoeffding-adaptive-tree": _hoeffding_adaptive_tree,
        "knn": _knn,
        "arf": _arf,
    },
}
