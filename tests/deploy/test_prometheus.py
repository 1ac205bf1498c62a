"""A real Prometheus scrapes a running job, and evaluates the rules as they stand."""

import http.client
import json
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import yaml

from tests.deploy.files import ALERTS, DEPLOY, alerts, program, read
from tests.deploy.test_figures import expressions
from tests.deploy.watched import Watched


class Prometheus:
    """Asks a server.

    Parameters
    ----------
    port
        Where it listens, on loopback.
    """

    def __init__(self, port: int) -> None:
        self._port = port

    def ask(self, path: str, **parameters: str) -> Any:
        """Return the data of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        try:
            connection.request("GET", f"/api/v1/{path}?{urlencode(parameters)}")
            answer = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        assert answer["status"] == "success", answer
        return answer["data"]

    def rules(self) -> list[dict[str, Any]]:
        """Return the rules, once each was evaluated."""
        for _ in _patiently():
            found = [rule for group in self.ask("rules")["groups"] for rule in group["rules"]]
            if found and all(rule["health"] != "unknown" for rule in found):
                return found
        raise AssertionError("not every rule was evaluated")


def _patiently() -> Iterator[None]:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        yield
        time.sleep(0.2)


@contextmanager
def serving(folder: Path, address: str, rules: Any) -> Iterator[Prometheus]:
    """Run Prometheus as it is configured, but for the target and the times."""
    config = read(DEPLOY / "prometheus" / "prometheus.yml")
    config["global"] = {"scrape_interval": "500ms", "evaluation_interval": "500ms"}
    config["scrape_configs"][0]["static_configs"][0]["targets"] = [address]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    (folder / "alerts.yml").write_text(yaml.safe_dump(rules))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = {
        "config.file": folder / "prometheus.yml",
        "storage.tsdb.path": folder / "data",
        "web.listen-address": f"127.0.0.1:{port}",
    }
    flags = [f"--{name}={value}" for name, value in options.items()]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([program("prometheus"), *flags], stdout=log, stderr=log)
    try:
        for _ in _patiently():
            assert process.poll() is None, (folder / "log").read_text()
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=1):
                    break
            except OSError:
                continue
        yield Prometheus(port)
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def prometheus(job: Watched, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Run Prometheus, and give it once it has scraped a job."""
    program("prometheus")
    with serving(tmp_path_factory.mktemp("prometheus"), job.address, read(ALERTS)) as server:
        for _ in _patiently():
            if server.ask("query", query="stream_bp_job_rows")["result"]:
                break
        yield server


def test_it_scrapes_the_job(prometheus: Prometheus) -> None:
    """The target is up under the name that the alerts ask for, and its figures are the job's."""
    (target,) = prometheus.ask("targets")["activeTargets"]
    assert target["health"] == "up", target["lastError"]
    assert target["labels"]["job"] == "stream-bp"
    (sample,) = prometheus.ask("query", query="stream_bp_job_rows")["result"]
    assert float(sample["value"][1]) == 6_000


def test_it_evaluates_every_rule(prometheus: Prometheus) -> None:
    """None has an error, and none fires or is about to, once there was a scrape: the job is well."""
    for _ in _patiently():
        rules = {rule["name"]: rule for rule in prometheus.rules()}
        about_to_fire = [name for name, rule in rules.items() if rule["state"] != "inactive"]
        if not about_to_fire:
            break
    assert rules.keys() == alerts().keys()
    assert {name: rule["lastError"] for name, rule in rules.items() if rule["health"] != "ok"} == {}
    assert about_to_fire == []


def test_it_evaluates_every_expression_of_the_dashboard(prometheus: Prometheus) -> None:
    """Each is one that it understands, and can evaluate over the job's figures."""
    for place, expression in expressions().items():
        of_any = expression.replace("$job", ".*").replace("$instance", ".*")
        assert prometheus.ask("query", query=of_any)["resultType"] in {"vector", "scalar"}, place


def test_texts_of_alerts_can_be_written(job: Watched, tmp_path: Path) -> None:
    """When an alert fires, its texts name the instance and hold no error."""
    rules = read(ALERTS)
    for rule in rules["groups"][0]["rules"]:
        rule["expr"], rule["for"] = 'label_replace(stream_bp_job_rows, "layer", "2", "", "")', "0m"
    with serving(tmp_path, job.address, rules) as server:
        for _ in _patiently():
            firing = {alert["labels"]["alertname"]: alert for alert in server.ask("alerts")["alerts"]}
            if firing.keys() == alerts().keys():
                break
        assert firing.keys() == alerts().keys()
        for name, alert in firing.items():
            texts = alert["annotations"]
            assert "error" not in texts["summary"].lower().replace("error drift", "")
            assert "expanding" not in json.dumps(texts)
            if name != "StreamBPAbsent":
                assert job.address in texts["summary"], name
