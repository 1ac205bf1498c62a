"""River's own contract, check by check, for several settings of each estimator."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from river import base, checks

from stream_bp.river import MLPClassifier, MLPRegressor

SETTINGS: dict[str, base.Estimator] = {
    "classifier": MLPClassifier(),
    "classifier, deep": MLPClassifier(hidden_layers=(16, 8), activation="tanh", optimizer="adam"),
    "classifier, linear": MLPClassifier(hidden_layers=(), clip_norm=1.0),
    "classifier, not scaled": MLPClassifier(scale_features=False, lr_schedule="warmup-cosine", weight_decay=0.01),
    "regressor": MLPRegressor(),
    "regressor, deep": MLPRegressor(hidden_layers=(8, 8), activation="sigmoid", optimizer="momentum"),
    "regressor, linear": MLPRegressor(hidden_layers=(), optimizer="adam"),
    "regressor, not scaled": MLPRegressor(scale_features=False, scale_target=False, clip_norm=1.0),
}
EXEMPT = "check_learn_many_matches_learn_one"
N_CHECKS = {"classifier": (59, 3), "regressor": (26, 1)}  # that run, that are exempt: with pandas and scikit-learn


def checks_of(name: str) -> list[tuple[str, Callable[..., Any]]]:
    """Return the checks of an estimator, by name and place: one check runs over several streams."""
    return [(f"{check.__name__}-{i}", check) for i, check in enumerate(checks.yield_checks(SETTINGS[name]))]


CASES = [
    pytest.param(name, check, id=f"{name}-{check_name}")
    for name in SETTINGS
    for check_name, check in checks_of(name)
    if check.__name__ != EXEMPT
]


@pytest.mark.parametrize(("name", "check"), CASES)
def test_a_check_of_river(name: str, check: Callable[..., Any]) -> None:
    """Every check passes."""
    check(SETTINGS[name].clone())


@pytest.mark.parametrize("name", SETTINGS)
def test_no_check_has_vanished(name: str) -> None:
    """As many checks run as when this was written, and no more than one kind is exempt."""
    found = Counter(check.__name__ == EXEMPT for _, check in checks_of(name))
    assert (found[False], found[True]) >= N_CHECKS[name.split(",", 1)[0]]
    assert SETTINGS[name]._unit_test_skips() == {EXEMPT}


def test_a_check_catches_what_is_wrong() -> None:
    """The control: an estimator that keeps a class to itself fails."""

    class Forgetful(MLPClassifier):
        def predict_proba_one(self, x: Any, **kwargs: Any) -> dict[Any, float]:
            return dict.fromkeys(list(super().predict_proba_one(x))[:1], 1.0)

    with pytest.raises(AssertionError):
        checks.check_estimator(Forgetful())
