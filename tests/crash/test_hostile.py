"""Checkpoints made to do harm: a digest vouches for bits, not for good will."""

import ast
import copy
import hashlib
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from connectors import ConnectorError, open_source
from stream_bp import inference
from stream_bp.errors import CheckpointError, DataError, DivergenceError, StreamBPError
from stream_bp.job.job import Job
from stream_bp.job.resume import restore_state
from stream_bp.persistence import snapshot
from stream_bp.persistence.checkpoints import Checkpointer, LoadedCheckpoint, load
from stream_bp.persistence.snapshot import Snapshot, decode, encode
from stream_bp.persistence.state_schema import saved_config
from tests.conftest import Campaign
from tests.crash.jobs import CONFIGURATIONS, rows

HOSTILE = "hostile checkpoint"
ROOT = Path(__file__).parents[2]
ODD: list[Any] = [
    None,
    True,
    -1,
    0,
    2**31,
    2**63,
    10**30,
    1.5,
    1e300,
    "",
    "nan",
    "../../x",
    [],
    {},
    [[]],
    {"a": 1},
    "x" * 99,
]


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> tuple[Snapshot, tuple[str, ...], Path]:
    """Return the snapshot of a job in the middle, its files, and its run directory."""
    folder = tmp_path_factory.mktemp("victim")
    configuration = CONFIGURATIONS["parquet"]
    paths = configuration.write(folder, 200)
    Job(open_source(*paths), configuration.config(folder / "run", max_minibatches=12)).run()
    return load(folder / "run").snapshot, paths, folder / "run"


def signed(header: str, tensors: bytes = b"") -> bytes:
    """Return a file with any header, whose digest agrees if the header has a place for it."""
    text = header.encode("utf-8", "surrogatepass")
    data = len(text).to_bytes(8, "little") + text + tensors
    start = data.find(snapshot.DIGEST_PREFIX)
    if start < 0:
        return data
    start += len(snapshot.DIGEST_PREFIX)
    digest = hashlib.sha256(data[:start] + b"0" * 64 + data[start + 64 :]).hexdigest().encode()
    return data[:start] + digest + data[start + 64 :]


def header_of(tensors: dict[str, Any], state: str = "{}", step: str = "1") -> str:
    """Return a header that vouches for any claims about tensors."""
    body = f'{{"format":1,"sha256":"{"0" * 64}","state":{state},"step":{step}}}'
    return json.dumps({**tensors, "__metadata__": {"stream_bp": body}}, separators=(",", ":"))


def claim(shape: list[int], start: int, end: int, dtype: str = "F32") -> dict[str, Any]:
    """Return what a header says of a tensor."""
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


LIES = {
    "header longer than the file": (2**40).to_bytes(8, "little") + b"{}",
    "header of 2**63 bytes": (2**63).to_bytes(8, "little") + b"{}",
    "shape of 2**63": signed(header_of({"a": claim([2**63], 0, 4)}), bytes(4)),
    "shape that overflows": signed(header_of({"a": claim([2**32, 2**32], 0, 0)})),
    "negative shape": signed(header_of({"a": claim([-1], 0, 4)}), bytes(4)),
    "offsets beyond the end": signed(header_of({"a": claim([1], 0, 2**40)}), bytes(4)),
    "offsets that run backwards": signed(header_of({"a": claim([1], 4, 0)}), bytes(4)),
    "overlapping tensors": signed(header_of({"a": claim([1], 0, 4), "b": claim([1], 0, 4)}), bytes(4)),
    "a gap": signed(header_of({"a": claim([1], 4, 8)}), bytes(8)),
    "bytes that belong to nobody": signed(header_of({"a": claim([1], 0, 4)}), bytes(400)),
    "unknown dtype": signed(header_of({"a": claim([1], 0, 4, "F999")}), bytes(4)),
    "a key twice": signed(header_of({"a": claim([1], 0, 4)}).replace('{"a":', '{"a":1,"a":', 1), bytes(4)),
    "a key twice in the state": signed(header_of({}, state='{\\"a\\":1,\\"a\\":2}'.replace("\\", ""))),
    "deep header": signed("[" * 100_000 + "]" * 100_000),
    "deep state": signed(header_of({}, state='{"a":' * 500 + "1" + "}" * 500)),
    "long number": signed(header_of({}, step="9" * 100_000)),
    "large step": signed(header_of({}, step="-1")),
    "lone surrogate": signed(header_of({"\ud800": claim([1], 0, 4)}), bytes(4)),
    "no object": signed("[]"),
    "not a number": signed(header_of({}, state='{"a":NaN}', step="1.5")),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_a_lying_file_is_refused(lie: bytes, campaign: Campaign) -> None:
    """Whatever the header claims, the answer is one line, and no memory beyond a small multiple of the file."""
    tracemalloc.start()
    with pytest.raises(CheckpointError) as caught:
        decode(lie, "memory")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600
    assert peak < 100 * len(lie) + 200_000
    campaign.tell(HOSTILE, lies=1)


def test_the_forgery_is_not_refused_for_its_digest() -> None:
    """The control: a forged file that tells no lie is read."""
    assert decode(signed(header_of({"a": claim([1], 0, 4)}), bytes(4)), "memory").tensors["a"].shape == (1,)


def mutate(random: Random, value: Any) -> Any:  # noqa: PLR0911 - one for each kind of change
    """Change one place, somewhere inside, of what JSON can hold."""
    if isinstance(value, dict) and value and random.random() < 0.9:
        key = random.choice(sorted(value))
        match random.randrange(8):
            case 0:
                return {name: item for name, item in value.items() if name != key}
            case 1:
                return {**value, random.choice(["../x", "", "__class__", key + "x"]): random.choice(ODD)}
            case _:
                return {**value, key: mutate(random, value[key])}
    if isinstance(value, list) and value and random.random() < 0.9:
        i = random.randrange(len(value))
        match random.randrange(5):
            case 0:
                return value[:i] + value[i + 1 :]
            case 1:
                return value + [random.choice(ODD)] * random.choice([1, 50])
            case _:
                return [*value[:i], mutate(random, value[i]), *value[i + 1 :]]
    return random.choice(ODD)


def mutate_tensors(random: Random, tensors: dict[str, Any]) -> dict[str, Any]:
    """Change one tensor: its presence, name, shape, type or content."""
    name = random.choice(sorted(tensors))
    array, rest = tensors[name], {key: value for key, value in tensors.items() if key != name}
    match random.randrange(6):
        case 0:
            return rest
        case 1:
            return {**rest, "../../" + name: array}
        case 2:
            return {**rest, name: np.zeros(random.choice([(0,), (10**9, 0), (0, 2**40), (3,), (1, 1, 1)]), array.dtype)}
        case 3:
            return {**rest, name: array.astype(random.choice(["int8", "float16", "bool"]))}
        case 4:
            return {**rest, name: np.full_like(array, random.choice([np.nan, np.inf, -1, 1e30]))}
        case _:
            return {**rest, name: tensors[random.choice(sorted(tensors))]}


def use(forged: Snapshot, paths: tuple[str, ...], folder: Path) -> None:
    """Do with a checkpoint everything that can be done with it."""
    loaded = LoadedCheckpoint(forged, folder / "forged.safetensors")
    config = saved_config(forged)
    inference.inspect(loaded)
    inference.evaluate(loaded, open_source(rows(20)))
    inference.predict(loaded, open_source(rows(20)), folder / "predictions.csv")
    restore_state(forged, config)


def resume(forged: Snapshot, paths: tuple[str, ...], folder: Path) -> None:
    """Let the job go on from a forged checkpoint."""
    run_dir = folder / "forged"
    checkpointer = Checkpointer(run_dir / "checkpoints", keep=1)
    for path in checkpointer.folder.glob("*") if checkpointer.folder.exists() else ():
        path.unlink()
    checkpointer.save(forged)
    (run_dir / "history.csv").write_bytes((folder / "run" / "history.csv").read_bytes())
    (run_dir / "lock").write_text("stream-bp")
    config = CONFIGURATIONS["parquet"].config(run_dir, max_minibatches=15)
    Job(open_source(*paths), config, allow_inexact_resume=True).run()


@pytest.mark.parametrize("door", [use, resume])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of numbers that no job saves
def test_forged_content_is_refused_or_harmless(
    victim: tuple[Snapshot, tuple[str, ...], Path],
    door: Callable[[Snapshot, tuple[str, ...], Path], None],
    campaign: Campaign,
) -> None:
    """Under a digest that agrees, any content is refused in one line or does no harm, in bounded memory."""
    original, paths, run_dir = victim
    door(original, paths, run_dir.parent)
    around = {path: path.stat().st_size for path in run_dir.rglob("*")}
    n_refused, n_harmless = 0, 0
    said: list[str] = []
    tracemalloc.start()
    for _ in range(campaign.size(100, 2_000)):
        state: Any = copy.deepcopy(original.state)
        tensors = original.tensors
        for _ in range(campaign.random.choice([1, 1, 1, 3])):
            if campaign.random.random() < 0.75:
                state = mutate(campaign.random, state)
            else:
                tensors = mutate_tensors(campaign.random, tensors)
        if not isinstance(state, dict):
            continue
        forged = Snapshot(original.step, tensors, state)
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        try:
            forged = decode(encode(forged), "memory")
            door(forged, paths, run_dir.parent)
            n_harmless += 1
        except (CheckpointError, ConnectorError, DivergenceError, DataError) as error:
            n_refused += 1
            said.append(str(error))
        assert tracemalloc.get_traced_memory()[1] - before < 60_000_000, "memory is not bounded by the file"
    tracemalloc.stop()
    assert not [line for line in said if "\n" in line]
    assert n_refused > n_harmless / 5
    assert around == {path: path.stat().st_size for path in run_dir.rglob("*")}
    ours = {"run", "forged", "predictions.csv", "0-rows.parquet"}
    assert {path.name for path in run_dir.parent.iterdir()} <= ours
    campaign.tell(HOSTILE, refused=n_refused, harmless=n_harmless)


@pytest.mark.parametrize("name", ["checkpoints", "history.csv", "lock", "file"])
def test_a_link_leads_nothing_elsewhere(
    victim: tuple[Snapshot, tuple[str, ...], Path], tmp_path: Path, name: str, campaign: Campaign
) -> None:
    """A link in the run directory is refused, or replaced; what it leads to is not written."""
    _, paths, _ = victim
    run_dir, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    (run_dir / "checkpoints").mkdir(parents=True)
    elsewhere.mkdir()
    (elsewhere / "precious").write_text("precious")
    if name == "file":
        (run_dir / "checkpoints" / "step-000000000000.safetensors").symlink_to(elsewhere / "precious")
    else:
        if name == "checkpoints":
            (run_dir / name).rmdir()
        (run_dir / name).symlink_to(elsewhere if name == "checkpoints" else elsewhere / "precious")
    config = CONFIGURATIONS["parquet"].config(run_dir)
    with pytest.raises(StreamBPError) as caught:
        Job(open_source(*paths), config).run()
    assert "\n" not in str(caught.value)
    assert [(path.name, path.read_text()) for path in elsewhere.iterdir()] == [("precious", "precious")]
    campaign.tell(HOSTILE, links=1)


FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "yaml", "jsonpickle"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}


def forbidden(source: str) -> list[str]:
    """Return what a module could execute a file's content with."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in FORBIDDEN_MODULES]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in FORBIDDEN_MODULES:
            found.append(str(node.module))
        elif isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else ""
            found += [name] if name in FORBIDDEN_CALLS else []
            found += [word.arg for word in node.keywords if word.arg == "allow_pickle"]
    return found


@pytest.mark.parametrize("package", ["stream_bp", "connectors"])
def test_nothing_can_execute_a_file(package: str) -> None:
    """No module imports a pickle of any kind, or evaluates text."""
    modules = list((ROOT / package).rglob("*.py"))
    assert len(modules) > 10
    assert {path.name: forbidden(path.read_text()) for path in modules if forbidden(path.read_text())} == {}


def test_what_could_execute_a_file_is_found() -> None:
    """The control: every way in is noticed."""
    source = "import pickle\nfrom marshal import loads\neval('1')\nnp.load(f, allow_pickle=True)\n"
    assert forbidden(source) == ["pickle", "marshal", "eval", "allow_pickle"]


def test_a_table_is_refused_without_being_read(tmp_path: Path) -> None:
    """A large file of another kind, given by mistake, is refused by its first bytes."""
    path = tmp_path / "film.safetensors"
    with path.open("wb") as file:
        file.write(b"PAR1")
        file.truncate(1 << 40)
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        load(path)
    assert pa.total_allocated_bytes() < 1 << 30
