"""Alerts and dashboard ask for what a running job tells, and for nothing else."""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest

from tests.deploy.files import alerts, dashboard, instructions
from tests.deploy.watched import Watched

OF_TARGETS = {"job", "instance"}
"""Labels that Prometheus adds to what it scrapes."""
ITS_OWN = {"up", "ALERTS"}
"""What Prometheus keeps itself."""
NEEDED = {"stream_bp_progress_ratio"}
"""What only a source that ends has."""

Series = dict[str, set[tuple[tuple[str, str], ...]]]


def panels() -> list[dict[str, Any]]:
    """Return the panels that show something."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def variable(text: str) -> str:
    """Put something in place of the dashboard's variables."""
    return text.replace("$__rate_interval", "5m").replace("$metric", "accuracy")


def expressions() -> dict[str, str]:
    """Return every expression, by where it stands."""
    found = {f"alert {name}": rule["expr"] for name, rule in alerts().items()}
    for panel in panels():
        for target in panel["targets"]:
            found[f"panel {panel['id']} {panel['title']} {target['refId']}"] = variable(target["expr"])
    for annotation in dashboard()["annotations"]["list"]:
        found[f"annotation {annotation['name']}"] = variable(annotation["expr"])
    return found


def selectors(expression: str) -> list[promql.VectorSelector]:
    """Return what an expression selects."""
    found: list[promql.VectorSelector] = []

    def visit(node: promql.Expr) -> None:
        if isinstance(node, promql.VectorSelector):
            found.append(node)
        elif isinstance(node, promql.MatrixSelector):
            found.append(node.vector_selector)

    promql.walk(promql.parse(expression), visit)
    assert found, expression
    return found


def grouped(expression: str) -> set[str]:
    """Return the labels by which an expression groups, or matches."""
    return {
        label.strip()
        for labels in re.findall(r"\b(?:by|without|on|ignoring|group_left|group_right) \(([^)]*)\)", expression)
        for label in labels.split(",")
        if label.strip()
    }


def selects(selector: promql.VectorSelector, exported: Series) -> bool:
    """Tell whether there is a series that it selects, whatever the target is called."""
    matchers = [matcher for matcher in selector.matchers.matchers if matcher.name not in OF_TARGETS]
    return any(
        all(_matches(matcher, dict(labels).get(matcher.name, "")) for matcher in matchers)
        for labels in exported.get(str(selector.name), ())
    )


def _matches(matcher: promql.Matcher, value: str) -> bool:
    if matcher.op in (promql.MatchOp.Equal, promql.MatchOp.NotEqual):
        return (value == matcher.value) is (matcher.op == promql.MatchOp.Equal)
    return (re.fullmatch(matcher.value, value) is not None) is (matcher.op == promql.MatchOp.Re)


@pytest.fixture(scope="module")
def exported(job: Watched, job_of_values: Watched) -> Series:
    """Return what two jobs tell, one of classes and one of values."""
    found = job.exported()
    for name, labels in job_of_values.exported().items():
        found.setdefault(name, set()).update(labels)
    return found


@pytest.mark.parametrize("place", expressions())
def test_an_expression_selects_what_a_job_tells(place: str, exported: Series) -> None:
    """Each of its selectors finds a series, labels and their values included."""
    expression = expressions()[place]
    for selector in selectors(expression):
        if selector.name not in ITS_OWN | NEEDED:
            assert selects(selector, exported), f"{selector.prettify()}: no job tells that"
    known = {label for series in exported.values() for labels in series for label, _ in labels}
    assert grouped(expression) <= known | OF_TARGETS


def test_a_selector_of_something_else_would_be_noticed(exported: Series) -> None:
    """Another name, another label and another value of a label find nothing."""
    assert selects(selectors('stream_bp_score{metric="accuracy", job=~"$job"}')[0], exported)
    for wrong in ("stream_bp_scores", 'stream_bp_score{metrics="accuracy"}', 'stream_bp_score{metric="accuracies"}'):
        assert not selects(selectors(wrong)[0], exported)


def test_every_label_that_is_named_to_people_is_one(exported: Series) -> None:
    """Legends and texts of alerts name labels that there are."""
    known = OF_TARGETS | {label for series in exported.values() for labels in series for label, _ in labels}
    legends = re.findall(r"\{\{(\w+)\}\}", json.dumps(dashboard()))
    texts = re.findall(r"\$labels\.(\w+)", json.dumps(list(alerts().values())))
    assert {"layer", "kind", "predictor"} <= set(legends)
    assert "instance" in texts
    assert {*legends, *texts} <= known


def test_no_figure_of_a_job_is_left_out(exported: Series) -> None:
    """Whatever a job tells of itself is on the dashboard, or an alert asks for it."""
    asked = {str(selector.name) for expression in expressions().values() for selector in selectors(expression)}
    # A gauge that Prometheus computes better itself; and a count of minibatches beside one of rows.
    known = {"stream_bp_rows_per_second", "stream_bp_job_minibatches"}
    for name in exported:
        base = (
            re.sub(r"_(bucket|sum|count)$", "_bucket", name) if f"{name.rsplit('_', 1)[0]}_bucket" in exported else name
        )
        assert base in asked | known or not name.startswith("stream_bp_"), name


def test_every_panel_says_what_it_shows() -> None:
    """It has a title, a text, a unit, the chosen source of data, and each of its queries has a letter of its own."""
    for panel in panels():
        assert panel["title"], panel["id"]
        assert panel["description"], panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        for place in (panel, *panel["targets"]):
            assert place["datasource"] == {"type": "prometheus", "uid": "${datasource}"}, panel["title"]
        assert max(Counter(target["refId"] for target in panel["targets"]).values()) == 1
        assert all('job=~"$job", instance=~"$instance"' in target["expr"] for target in panel["targets"])


def test_panels_lie_beside_each_other() -> None:
    """Each has a number of its own, and a place within the 24 columns where no other one is."""
    content = dashboard()
    assert max(Counter(panel["id"] for panel in content["panels"]).values()) == 1
    taken: Counter[tuple[int, int]] = Counter()
    for panel in content["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            taken.update((x, y) for y in range(place["y"], place["y"] + place["h"]))
    assert max(taken.values()) == 1


def test_variables_are_what_expressions_use() -> None:
    """Every variable of the dashboard is there and used, and those of Prometheus ask the chosen source of data."""
    content = dashboard()
    there = {variable["name"] for variable in content["templating"]["list"]}
    text = json.dumps(content)
    assert there == set(re.findall(r"\$\{?(?!__)([a-z]+)\b", text))
    for one in content["templating"]["list"]:
        if one["type"] == "query":
            assert one["datasource"]["uid"] == "${datasource}"


def health_check(port: str) -> int:
    """Return how the image's health check ends, run as it stands but for the port."""
    given = next(rest for name, rest in instructions() if name == "HEALTHCHECK")
    command = json.loads(given.partition("CMD ")[2])
    assert "9464" in command[2]
    program = [sys.executable, command[1], command[2].replace("9464", port)]
    proxies = {"http_proxy": "http://127.0.0.1:1", "HTTP_PROXY": "http://127.0.0.1:1"}
    return subprocess.run(program, check=False, capture_output=True, env={**os.environ, **proxies}).returncode


def test_the_health_check_tells_a_live_job_from_none(job: Watched) -> None:
    """It ends with 0 where a job answers, though a proxy is set, and with another code where none does."""
    assert health_check(job.address.rpartition(":")[2]) == 0
    assert health_check("1") != 0


def test_probes_are_answered(job: Watched) -> None:
    """What the cluster asks a job is what it answers."""
    assert job.ask("/healthz")[0] == job.ask("/readyz")[0] == 200
    assert Path(job.run_dir / "lock").is_file()
