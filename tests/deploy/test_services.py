"""What starts the job (systemd, compose, a cluster) is well formed, gives it what it needs, and takes the rest away."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import stream_bp
from stream_bp.config.job import JobConfig
from stream_bp.config.toml import read_toml
from tests.deploy.files import DEPLOY, instructions, judged, program, read, rendered, script

UNIT = DEPLOY / "systemd" / "stream-bp@.service"
COMPOSE: dict[str, Any] = read(DEPLOY / "compose.yaml")
OVERLAYS = ("base", "bounded", "with-prometheus-operator")
RUN_DIR, SETTINGS, INCOMING = "/var/lib/stream-bp", "/etc/stream-bp", "/incoming"


def unit() -> dict[str, list[str]]:
    """Return the settings of the unit, each with the values it is given."""
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^(\w+)=(.*)$", UNIT.read_text().replace("\\\n", " "), re.MULTILINE):
        found.setdefault(name, []).append(value)
    return found


def pods(name: str) -> list[dict[str, Any]]:
    """Return the specifications of the pods that a kustomization makes."""
    found = []
    for item in rendered(name):
        spec = item.get("spec", {})
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        if "template" in spec:
            found.append(spec["template"]["spec"])
    assert found
    return found


def parsed(command: list[str]) -> subprocess.CompletedProcess[str]:
    """Let the command line read arguments, to the point where it opens its settings."""
    return subprocess.run([sys.executable, "-m", "stream_bp", *command], check=False, capture_output=True, text=True)


@pytest.mark.parametrize("path", ["job.toml", "kubernetes/base/job.toml", "kubernetes/bounded/job.toml"])
def test_settings_are_settings_of_a_job(path: str) -> None:
    """Every key is one, with a value that it may have; the source is where rows are mounted."""
    config = JobConfig.of(read_toml(DEPLOY / path)[0])
    assert config.follow
    assert config.source[0].startswith(INCOMING)
    assert (config.idle_timeout is not None) == ("bounded" in path)
    assert config.run_dir is None


def test_one_machine_and_a_cluster_start_from_the_same_settings() -> None:
    """The cluster has a copy, for a kustomization reads nothing outside of its folder."""
    assert (DEPLOY / "kubernetes/base/job.toml").read_text() == (DEPLOY / "job.toml").read_text()


def commands() -> dict[str, list[str]]:
    """Return how each service calls the command line."""
    image = next(rest for name, rest in instructions() if name == "CMD")
    start = shlex.split(unit()["ExecStart"][0].replace("%i", "job").replace("${METRICS_HOST}", "127.0.0.1"))
    found = {"image": json.loads(image), "systemd": [part.replace("${METRICS_PORT}", "9464") for part in start[1:]]}
    for path in ("base/statefulset.yaml", "bounded/cronjob.yaml"):
        spec = read(DEPLOY / "kubernetes" / path)["spec"]
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        found[path] = spec["template"]["spec"]["containers"][0]["args"]
    return found


@pytest.mark.parametrize("place", commands())
def test_a_command_is_one_that_runs(place: str, tmp_path: Path) -> None:
    """Put into places that exist, it learns; so every flag is one, with a value that it may have."""
    (tmp_path / "rows.csv").write_text("x,label\n" + "".join(f"{i % 7},{i % 2}\n" for i in range(64)))
    (tmp_path / "job.toml").write_text(f'source = "{tmp_path}/rows.csv"\ntarget = "label"\n')
    command = " ".join(commands()[place])
    assert f"{SETTINGS}/job.toml" in command
    assert RUN_DIR in command
    command = command.replace(f"{SETTINGS}/job.toml", f"{tmp_path}/job.toml").replace(RUN_DIR, str(tmp_path / "state"))
    done = parsed(command.replace("9464", "0").replace("0.0.0.0", "127.0.0.1").split())  # noqa: S104
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "state").rglob("step-*.safetensors"))) == 2
    assert ("metrics on http://127.0.0.1:" in done.stderr) == ("bounded" not in place)


# systemd


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    """It finds nothing to remark on an instance of it, on a machine where program and user are installed."""
    place = tmp_path / "etc/systemd/system"
    (tmp_path / "opt/stream-bp/bin").mkdir(parents=True)
    (tmp_path / "opt/stream-bp/bin/stream-bp").write_text("#!/bin/sh\n")
    (tmp_path / "opt/stream-bp/bin/stream-bp").chmod(0o755)
    place.mkdir(parents=True)
    for name in ("network-online.target", "local-fs.target", "sysinit.target", "basic.target", "shutdown.target"):
        (place / name).write_text("[Unit]\nDescription=of every machine\n")
    for name in ("system.slice", "system-stream\\x2dbp.slice", "-.slice"):
        (place / name).write_text("[Unit]\nDescription=of every machine\n")
    (place / UNIT.name).write_text(UNIT.read_text())
    analyze = program("systemd-analyze")
    said = judged(analyze, "verify", f"--root={tmp_path}", "--man=no", "stream-bp@job.service")
    assert said.strip() == ""
    (place / UNIT.name).write_text(UNIT.read_text().replace("KillMode=mixed", "KillMode=mixt"))
    done = subprocess.run(
        [analyze, "verify", f"--root={tmp_path}", "--man=no", "stream-bp@job.service"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert "mixt" in done.stderr


def test_systemd_finds_little_exposed() -> None:
    """Its measure, from 0 to 10, is under 2: what is left is the network, and memory that Numba writes code to."""
    said = judged(program("systemd-analyze"), "security", "--offline=true", "--threshold=20", "--no-pager", UNIT)
    assert "OK" in said


def test_systemd_starts_again_what_starting_again_can_help() -> None:
    """The exit codes that it passes over are those of errors that stay; those of signals are no failures."""
    codes = {
        name: getattr(stream_bp.errors, name).exit_code
        for name in ("ConfigError", "CheckpointError", "DivergenceError", "LockedError", "DataError", "DiskError")
    }
    prevented = {int(code) for code in unit()["RestartPreventExitStatus"][0].split()}
    assert prevented == {codes[name] for name in ("ConfigError", "CheckpointError", "DivergenceError", "LockedError")}
    assert unit()["SuccessExitStatus"] == ["129 130 143"]
    assert unit()["Restart"] == ["on-failure"]


def test_systemd_uses_no_shell() -> None:
    """The job is the process that is started, and so is told to stop."""
    assert len(unit()["ExecStart"]) == 1
    assert unit()["ExecStart"][0].startswith("/opt/stream-bp/bin/stream-bp train ")
    assert not {"ExecStartPre", "ExecStartPost", "ExecStop", "PIDFile"} & unit().keys()


def test_systemd_makes_its_user() -> None:
    """The unit runs as the user that the other file makes."""
    line = (DEPLOY / "systemd/stream-bp.sysusers.conf").read_text().splitlines()[-1]
    assert line.split()[:2] == ["u", unit()["User"][0]]


# Compose


def test_compose_takes_its_file() -> None:
    """It is one of the compose specification."""
    judged(script("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", DEPLOY / "compose.yaml")


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_compose_takes_away_what_a_service_does_not_need(name: str) -> None:
    """Read-only, without capabilities, with room for temporary files, started again, and published to nobody else."""
    service = COMPOSE["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["tmpfs"][0].startswith("/tmp:size=")  # noqa: S108
    assert service["restart"] == "unless-stopped"
    assert not {"privileged", "network_mode", "pid", "cap_add", "devices"} & service.keys()
    for port in service.get("ports", ()):
        assert port.startswith("127.0.0.1:")
    for mount in service["volumes"]:
        if mount["type"] == "bind":
            assert mount["read_only"] is True
            assert mount["bind"] == {"create_host_path": False}
            is_given = mount["source"].startswith("${")
            assert is_given or (DEPLOY / mount["source"]).exists(), mount["source"]
        else:
            assert mount["source"] in COMPOSE["volumes"]


def test_compose_gives_the_job_what_it_needs() -> None:
    """Volume, rows and settings are where the command looks for them; it has time to save, and no published port."""
    service = COMPOSE["services"]["job"]
    assert {mount["target"] for mount in service["volumes"]} == {RUN_DIR, INCOMING, f"{SETTINGS}/job.toml"}
    assert service["stop_grace_period"] == "60s"
    assert "ports" not in service
    assert "command" not in service
    (target,) = read(DEPLOY / "prometheus/prometheus.yml")["scrape_configs"][0]["static_configs"][0]["targets"]
    assert target == "job:9464"


def test_grafana_finds_what_it_is_given() -> None:
    """The folder of the dashboards is mounted where it looks, and the server it asks is the one that runs."""
    mounts = {mount["source"]: mount["target"] for mount in COMPOSE["services"]["grafana"]["volumes"]}
    provider = read(DEPLOY / "grafana/provisioning/dashboards/stream-bp.yaml")["providers"][0]
    assert provider["options"]["path"] == mounts["./grafana/dashboards"]
    (source,) = read(DEPLOY / "grafana/provisioning/datasources/prometheus.yaml")["datasources"]
    assert source["url"] == "http://prometheus:9090"
    assert source["type"] == "prometheus"


# Kubernetes


@pytest.mark.parametrize("name", OVERLAYS)
def test_a_cluster_takes_the_objects(name: str, tmp_path: Path) -> None:
    """What kustomize renders, but for the custom resources, is what a cluster's schemas allow, and nothing more."""
    known = [item for item in rendered(name) if not item["apiVersion"].startswith("monitoring.coreos.com/")]
    (tmp_path / "objects.yaml").write_text(yaml.safe_dump_all(known))
    for version in ("1.31", "1.34", "1.37"):
        said = judged(script("kubernetes-validate"), "-k", version, "--strict", tmp_path / "objects.yaml")
        assert said.count("passed for resource") == len(known)
    spoilt = yaml.safe_dump_all(known).replace("readOnlyRootFilesystem", "readOnlyRootFileSystem")
    (tmp_path / "objects.yaml").write_text(spoilt)
    validate = [script("kubernetes-validate"), "--strict", str(tmp_path / "objects.yaml")]
    assert subprocess.run(validate, check=False, capture_output=True).returncode != 0


def test_every_file_of_a_kustomization_is_there() -> None:
    """Each names files and folders that are there, and there is no file that none names."""
    named = set()
    for path in sorted((DEPLOY / "kubernetes").glob("*/kustomization.yaml")):
        content = read(path)
        places = [*content.get("resources", ()), *content.get("components", ())]
        places += [name for one in content.get("configMapGenerator", ()) for name in one["files"]]
        for place in places:
            target = (path.parent / place).resolve()
            assert target.is_file() or (target / "kustomization.yaml").is_file(), place
            named.add(target)
        named.add(path)
    assert {path for path in (DEPLOY / "kubernetes").rglob("*") if path.is_file()} <= named


def test_selectors_find_the_pods() -> None:
    """Service, StatefulSet and PodMonitor select the labels that the pods have; a job that ends is none of theirs."""
    items = {item["kind"]: item for item in rendered("with-prometheus-operator")}
    stateful = items["StatefulSet"]["spec"]
    labels = stateful["template"]["metadata"]["labels"]
    selectors = {
        "StatefulSet": stateful["selector"]["matchLabels"],
        "Service": items["Service"]["spec"]["selector"],
        "PodMonitor": items["PodMonitor"]["spec"]["selector"]["matchLabels"],
    }
    bounded = next(item for item in rendered("bounded") if item["kind"] == "CronJob")
    others = bounded["spec"]["jobTemplate"]["spec"]["template"]["metadata"]["labels"]
    for kind, selector in selectors.items():
        assert selector
        assert selector.items() <= labels.items(), kind
        assert not selector.items() <= others.items(), kind
    assert stateful["serviceName"] == items["Service"]["metadata"]["name"]
    assert labels[items["PodMonitor"]["spec"]["jobLabel"]] == "stream-bp"


@pytest.mark.parametrize("name", OVERLAYS)
def test_pods_may_do_little(name: str) -> None:
    """Non-root by number, no capability, no escalation, a read-only root, the runtime's seccomp profile, no token."""
    for pod in pods(name):
        user = next(rest for name, rest in instructions() if name == "USER")
        context = pod["securityContext"]
        assert context["runAsNonRoot"] is True
        assert f"{context['runAsUser']}:{context['runAsGroup']}" == user
        assert context["fsGroup"] == context["runAsGroup"]
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        assert pod["terminationGracePeriodSeconds"] == 60
        for container in pod["containers"]:
            inner = container["securityContext"]
            assert inner["allowPrivilegeEscalation"] is False
            assert inner["readOnlyRootFilesystem"] is True
            assert inner["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["limits"]["memory"]
            assert container["resources"]["requests"].keys() >= {"cpu", "memory"}


@pytest.mark.parametrize("name", OVERLAYS)
def test_pods_have_what_the_command_needs(name: str) -> None:
    """Run directory, settings, rows and temporary files are mounted, each from a volume that is there."""
    items = rendered(name)
    claims = {item["metadata"]["name"] for item in items if item["kind"] == "PersistentVolumeClaim"}
    maps = {item["metadata"]["name"] for item in items if item["kind"] == "ConfigMap"}
    stateful = [item for item in items if item["kind"] == "StatefulSet"]
    templates = {one["metadata"]["name"] for item in stateful for one in item["spec"]["volumeClaimTemplates"]}
    for pod in pods(name):
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        mounts = {mount["mountPath"]: mount for mount in pod["containers"][0]["volumeMounts"]}
        assert mounts.keys() == {RUN_DIR, SETTINGS, INCOMING, "/tmp"}  # noqa: S108
        assert {mount["name"] for mount in mounts.values()} <= volumes.keys() | templates
        for volume in volumes.values():
            if "configMap" in volume:
                assert volume["configMap"]["name"] in maps
            if "persistentVolumeClaim" in volume and volume["name"] != "incoming":
                assert volume["persistentVolumeClaim"]["claimName"] in claims
        assert mounts[INCOMING]["readOnly"] is True


def test_probes_ask_what_is_served() -> None:
    """Alive and started are one page, ready is another, at the port that the command serves."""
    container = pods("base")[0]["containers"][0]
    paths = {name: container[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert {name: probe["path"] for name, probe in paths.items()} == {
        "startupProbe": "/healthz",
        "livenessProbe": "/healthz",
        "readinessProbe": "/readyz",
    }
    (port,) = container["ports"]
    assert {probe["port"] for probe in paths.values()} == {port["name"]}
    assert f"--metrics-port={port['containerPort']}" in container["args"]


def test_no_two_pods_write_one_run_directory() -> None:
    """The job that follows has one replica; the one that ends is begun neither while it runs nor in vain."""
    stateful = next(item for item in rendered("base") if item["kind"] == "StatefulSet")
    assert stateful["spec"]["replicas"] == 1
    cron = next(item for item in rendered("bounded") if item["kind"] == "CronJob")["spec"]
    assert cron["concurrencyPolicy"] == "Forbid"
    rules = cron["jobTemplate"]["spec"]["podFailurePolicy"]["rules"]
    vain = next(rule["onExitCodes"]["values"] for rule in rules if rule["action"] == "FailJob")
    assert vain == [int(code) for code in unit()["RestartPreventExitStatus"][0].split()]
