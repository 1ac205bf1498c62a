"""The alerts fire when they should, are silent when they should, and lead to a section that says what to do."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.files import ALERTS, DEPLOY, alerts, judged, program, read

CASES = Path(__file__).with_name("alerts_test.yml")
RUNBOOK = (DEPLOY / "README.md").read_text()


def outcome(folder: Path, rules: dict[str, Any], name: str) -> subprocess.CompletedProcess[str]:
    """Run the cases of one alert against some rules."""
    cases = read(CASES)
    cases["tests"] = [case for case in cases["tests"] if re.split(r"[ ,]", case["name"])[0] == name]
    assert cases["tests"], f"no case of {name}"
    cases["rule_files"] = ["rules.yml"]
    (folder / "rules.yml").write_text(yaml.safe_dump(rules))
    (folder / "cases.yml").write_text(yaml.safe_dump(cases))
    command = [program("promtool"), "test", "rules", str(folder / "cases.yml")]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def with_expression(name: str, expression: str) -> dict[str, Any]:
    """Return the rules, one of which asks for something else."""
    rules: dict[str, Any] = read(ALERTS)
    for rule in rules["groups"][0]["rules"]:
        if rule["alert"] == name:
            rule["expr"] = expression
            rule["for"] = "0m"
    return rules


def test_prometheus_takes_its_configuration_and_the_rules() -> None:
    """Promtool finds nothing wrong in either."""
    said = judged(program("promtool"), "check", "config", DEPLOY / "prometheus" / "prometheus.yml")
    assert f"{len(alerts())} rules found" in said
    judged(program("promtool"), "check", "rules", ALERTS)


def test_the_unit_tests_of_the_alerts_pass() -> None:
    """Promtool runs them as they stand."""
    assert "SUCCESS" in judged(program("promtool"), "test", "rules", CASES)


@pytest.mark.parametrize("name", alerts())
def test_the_unit_tests_would_notice(name: str, tmp_path: Path) -> None:
    """An alert that never fires fails its cases, and so does one that fires for every job."""
    assert outcome(tmp_path, read(ALERTS), name).returncode == 0
    never = outcome(tmp_path, with_expression(name, "vector(1) == 2"), name)
    assert never.returncode == 1, never.stdout
    assert "FAILED" in never.stdout + never.stderr
    every = "vector(1)" if name == "StreamBPAbsent" else 'group by (job, instance) ({__name__=~".+", job!=""})'
    always = outcome(tmp_path, with_expression(name, every), name)
    assert always.returncode == 1, always.stdout
    assert "FAILED" in always.stdout + always.stderr


@pytest.mark.parametrize("name", alerts())
def test_an_alert_says_how_bad_it_is_and_what_to_do(name: str) -> None:
    """It has a severity, a summary, a description, and the anchor of a section of the runbook."""
    rule = alerts()[name]
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert rule["annotations"].keys() == {"summary", "description", "runbook"}
    assert rule["annotations"]["runbook"] == name.lower()
    assert re.search(rf"^### {name}\n\n\w", RUNBOOK, re.MULTILINE), "no section"


def test_the_runbook_has_no_other_alerts() -> None:
    """Every section that is called like an alert is one's."""
    assert set(re.findall(r"^### (StreamBP\w+)$", RUNBOOK, re.MULTILINE)) == alerts().keys()


def test_the_operator_has_the_same_rules() -> None:
    """What a cluster is given is what one machine is given."""
    copy = read(DEPLOY / "kubernetes" / "prometheus-operator" / "prometheus-rule.yaml")
    assert copy["spec"] == read(ALERTS)
