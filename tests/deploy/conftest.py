"""Two jobs that run while they are looked at, one of classes, one of values; and the image, built once."""

from collections.abc import Iterator

import pytest

from tests.deploy.machines import Image, built
from tests.deploy.watched import Watched, watched


@pytest.fixture(scope="session")
def job(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Run a job that learns classes."""
    with watched(tmp_path_factory.mktemp("classes"), "label") as running:
        yield running


@pytest.fixture(scope="session")
def job_of_values(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Run a job that learns values."""
    with watched(tmp_path_factory.mktemp("values"), "value") as running:
        yield running


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    """Build the image."""
    with built(tmp_path_factory.mktemp("image")) as made:
        yield made
