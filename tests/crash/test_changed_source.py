"""A source that changes between two runs, or under the reader: refused by name, or learned as it is; never a mixture.

Every case holds a job to one rule: it is refused by an error of the connectors that names a file, or it ends as a job
that finds the source, as it is now, at its start. Which of the two is said where a change leaves no choice.
"""

import gzip
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from connectors import ConnectorError, Cursor, FileCursor, Reader, RecordBatchSlice, Source, open_source
from connectors.files import source as files_source
from connectors.formats import parquet, text_reader
from stream_bp.job import reader as job_reader
from stream_bp.job.job import Job
from stream_bp.job.observer import Observer
from stream_bp.job.summary import Summary
from tests.conftest import Campaign

FORMATS = ("parquet", "csv", "csv.gz", "csv.zst")
BATCH, WINDOW, PER_FILE = (
    10,
    40,
    120,
)  # rows; each a multiple of the one before, so that a longer stream goes on exactly
EDITED = 999_999  # greater than any other value, of as many digits


@lru_cache
def rows(n: int, seed: int) -> pa.Table:
    """Rows of one width, so that an edited text has the size of the old one."""
    x, y = np.random.default_rng(seed).integers(100_000, EDITED, size=(2, n))
    return pa.table({"x": x, "y": y, "label": np.where(x > y, "up", "dn")})


def edited(table: pa.Table, row: int) -> pa.Table:
    """Return the rows with one number changed."""
    x = table["x"].to_numpy().copy()
    x[row] = EDITED
    return table.set_column(0, "x", pa.array(x))


def encoded(table: pa.Table, form: str, *, header: bool = True) -> bytes:
    """Return what a file of these rows holds."""
    sink = pa.BufferOutputStream()
    if form == "parquet":
        pq.write_table(table, sink, row_group_size=30, compression="none", use_dictionary=False)
        return bytes(sink.getvalue())
    pacsv.write_csv(table, sink, pacsv.WriteOptions(include_header=header))
    text = bytes(sink.getvalue())
    if form == "csv.zst":
        return bytes(pa.Codec("zstd").compress(text, asbytes=True))
    return gzip.compress(text) if form == "csv.gz" else text


@dataclass
class Place:
    """A folder of files, and what can happen to one of them."""

    folder: Path
    form: str
    n_files: int
    random: Random
    paths: list[Path] = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self.paths = [self.folder / f"part-{i}.{self.form}" for i in range(self.n_files)]
        for i, path in enumerate(self.paths):
            path.write_bytes(encoded(rows(PER_FILE, i), self.form))

    def source(self) -> Source:
        """Open the folder, to be read in blocks of a few records."""
        return open_source(self.folder, block_size=300)

    def state(self) -> dict[str, tuple[bytes, int, int]]:
        """Return what the folder holds, and the times and numbers of its files."""
        return {
            path.name: (path.read_bytes(), path.stat().st_ctime_ns, path.stat().st_ino)
            for path in sorted(self.folder.iterdir())
        }

    def change(self, kind: str, file: int) -> None:
        """Let something happen to a file, or around it."""
        before = self.state()
        CHANGES[kind](self, file)
        assert self.state() != before, "nothing happened"

    def truncate(self, file: int) -> None:
        """Cut off the end."""
        path = self.paths[file]
        os.truncate(path, int(path.stat().st_size * self.random.uniform(0.05, 0.95)))

    def replace(self, file: int) -> None:
        """Let another file take the name."""
        other = self.folder / ".other"
        other.write_bytes(encoded(rows(PER_FILE, 99), self.form))
        other.replace(self.paths[file])

    def rewrite(self, file: int, row: int) -> None:
        """Change one number, in the same file."""
        self._write(file, encoded(edited(rows(PER_FILE, file), row), self.form))

    def forge(self, file: int) -> None:
        """Change the first row, and put the time back."""
        times = self.paths[file].stat()
        self.rewrite(file, 0)
        os.utime(self.paths[file], ns=(times.st_atime_ns, times.st_mtime_ns))

    def append(self, file: int) -> None:
        """Add rows at the end; to compressed text, as what another run of the compressor makes of them."""
        if self.form == "parquet":
            longer = pa.concat_tables([rows(PER_FILE, file), rows(2 * WINDOW, 77)])
            self._write(file, encoded(longer, self.form))
        else:
            with self.paths[file].open("ab") as stream:
                stream.write(encoded(rows(2 * WINDOW, 77), self.form, header=False))

    def copy(self, file: int) -> None:
        """Let a copy, with its time, take the name."""
        shutil.copy2(self.paths[file], self.folder / ".other")
        (self.folder / ".other").replace(self.paths[file])

    def add(self, name: str) -> None:
        """Put another file into the folder."""
        (self.folder / f"{name}.{self.form}").write_bytes(encoded(rows(2 * WINDOW, 88), self.form))

    def exchange(self, file: int) -> None:
        """Let two files change their names; one that is alone is replaced."""
        if self.n_files == 1:
            return self.replace(file)
        other = (file + 1) % self.n_files
        self.paths[file].rename(self.folder / ".other")
        self.paths[other].rename(self.paths[file])
        (self.folder / ".other").rename(self.paths[other])
        return None

    def rename(self, file: int) -> None:
        """Give a file another name at the same place of the order."""
        self.paths[file].rename(self.folder / f"part-{file}-renamed.{self.form}")

    def _write(self, file: int, content: bytes) -> None:
        with self.paths[file].open("r+b") as stream:
            stream.write(content)
            stream.truncate()


CHANGES: dict[str, Callable[[Place, int], None]] = {
    "truncated": Place.truncate,
    "replaced": Place.replace,
    "rewritten behind": lambda place, file: place.rewrite(file, 0),
    "rewritten ahead": lambda place, file: place.rewrite(file, -1),
    "forged": Place.forge,
    "appended": Place.append,
    "touched": lambda place, file: os.utime(place.paths[file], ns=(1, 1)),
    "copied": Place.copy,
    "removed": lambda place, file: place.paths[file].unlink(),
    "file added": lambda place, file: place.add("z"),
    "file slipped in": lambda place, file: place.add("a"),
    "exchanged": Place.exchange,
    "renamed": Place.rename,
}
ALWAYS_REFUSED = {"truncated", "replaced", "rewritten behind", "forged", "removed", "exchanged"}  # what was read


class Changing(Source, Observer):
    """A source that lets something happen before its reader goes on to the n-th block, counted over all epochs."""

    def __init__(self, source: Source, n_blocks: int, change: Callable[[Cursor], None]) -> None:
        self._source, self.left, self._change = source, n_blocks, change
        self.is_armed = False

    schema = property(lambda self: self._source.schema)
    n_rows = property(lambda self: self._source.n_rows)
    description = property(lambda self: self._source.description)

    def fraction(self, cursor: Cursor) -> float | None:
        """Ask the source."""
        return self._source.fraction(cursor)

    def label(self, cursor: Cursor) -> str:
        """Ask the source."""
        return self._source.label(cursor)

    def same_rows_before(self, one: Cursor, other: Cursor) -> bool:
        """Ask the source."""
        return self._source.same_rows_before(one, other)

    def open(self, schema: pa.Schema, cursor: Cursor | None = None, decisions: Any = None, known: Any = None) -> Reader:
        """Open the source."""
        reader = self._source.open(schema, cursor)
        return Reader(self._blocks(reader), self.description, reader.next_pass)

    def _blocks(self, reader: Reader) -> Iterator[RecordBatchSlice]:
        with reader:
            for block in reader:
                yield block
                self.left -= self.is_armed
                if self.is_armed and not self.left:
                    self._change(block.cursor(len(block)))

    # An observer, too: what is read before learning begins, to plan it, does not count.
    def on_start(self, training: Any, resumed: Any) -> None:
        """Begin to count."""
        self.is_armed = True

    def on_progress(self, status: Any) -> None:
        """Let it learn."""


@dataclass(frozen=True)
class Case:
    """One change, at one moment of one job."""

    kind: str
    form: str
    n_files: int
    epochs: int
    window: int | None

    @property
    def settings(self) -> dict[str, Any]:
        """The job's settings."""
        settings = {"target": "label", "batch_size": BATCH, "hidden_layers": (4,), "epochs": self.epochs}
        return {**settings, "shuffle_window": self.window}

    @property
    def epoch_minibatches(self) -> int:
        """Minibatches of an epoch over the unchanged files."""
        return self.n_files * PER_FILE // BATCH


def result(summary: Summary) -> tuple[Any, ...]:
    """Return what must be equal."""
    return summary.rows, summary.weights_sha256, summary.metrics, summary.rolling, summary.baselines, summary.loss


def learn(case: Case, source: Source, run_dir: Path | None, **more: Any) -> Summary:
    """Run or resume the job."""
    return Job(source, run_dir=str(run_dir) if run_dir else None, **case.settings, **more).run()


def refused_or_result(place: Place, run: Callable[[], Summary]) -> tuple[Any, ...] | None:
    """Return what a job ends with; ``None`` if it is refused by an error of ours, in one line, that names the place."""
    try:
        return result(run())
    except ConnectorError as error:
        message = str(error)
    assert str(place.folder) in message
    assert "\n" not in message
    return None


def refused_or_right(case: Case, place: Place, run_dir: Path) -> bool:
    """Resume a job, hold it to the rule, and tell whether it was refused."""
    found = refused_or_result(place, lambda: learn(case, place.source(), run_dir))
    if found is not None:
        assert found == refused_or_result(place, lambda: learn(case, place.source(), None)), case
    return found is None


def between(case: Case, place: Place, run_dir: Path) -> bool:
    """Stop a job, at any border or one of an epoch or a file; change a file; resume. Tell whether it is refused."""
    random, per_file, per_epoch = place.random, PER_FILE // BATCH, case.epoch_minibatches
    last = per_epoch * case.epochs
    stop = random.choice([random.randint(1, last), random.randint(1, last), per_file, per_epoch, last])
    stopped = learn(case, place.source(), run_dir, max_minibatches=stop if stop < last else None)
    assert stopped.minibatches == stop
    is_first_epoch = stop <= per_epoch
    file = random.randrange(case.n_files) if not is_first_epoch else random.randint(0, (stop - 1) // per_file)
    if case.kind == "appended" and is_first_epoch:
        file = case.n_files - 1
    place.change(case.kind, file)
    refused = refused_or_right(case, place, run_dir)
    is_whole = stop >= (file + 1) * per_file
    must_be_refused = case.kind in ALWAYS_REFUSED | {"file slipped in"}
    must_be_refused |= case.kind == "rewritten ahead" and (is_whole or case.form == "parquet")
    must_be_refused |= case.kind in {"appended", "file added"} and not is_first_epoch
    may_not_be = case.kind in {"copied", "renamed"} or (case.kind == "file added" and is_first_epoch)
    if case.form != "parquet":
        may_not_be |= case.kind == "touched" or (case.kind == "appended" and is_first_epoch)
    else:
        must_be_refused |= case.kind == "touched" or (case.kind == "appended" and stop > file * per_file)
    assert refused or not must_be_refused, (case, stop, file)
    assert not refused or not may_not_be, (case, stop, file)
    return refused


def during(case: Case, place: Place, run_dir: Path) -> bool:
    """Change the file that is being read before a random block of a random epoch; tell whether the job is refused."""
    original = result(learn(case, place.source(), None))
    n_blocks, fired = blocks_of(place), []

    def change(cursor: Cursor) -> None:
        fired.append(cursor.row)
        place.change(case.kind, FileCursor.from_cursor(cursor).file)

    moment = place.random.randint(1, n_blocks * case.epochs)
    source = Changing(place.source(), moment, change)
    found = refused_or_result(place, lambda: learn(case, source, run_dir, observer=source))
    assert len(fired) == 1
    assert 0 < fired[0] <= case.n_files * PER_FILE
    if found not in (None, original):
        assert found == refused_or_result(place, lambda: learn(case, place.source(), None)), (case, moment)
    assert found is None or case.kind not in ALWAYS_REFUSED, (case, moment)
    refused = refused_or_right(case, place, run_dir) or found is None
    if case.kind == "copied" or (case.kind == "touched" and case.form != "parquet"):
        assert not refused, (case, moment)
    if case.kind == "appended" and moment > n_blocks:
        assert found is None, (case, moment)
    return refused


def blocks_of(place: Place) -> int:
    """Count the blocks of an epoch."""
    source = place.source()
    with source.open(source.schema) as reader:
        return sum(1 for _ in reader)


def cases(form: str) -> list[Case]:
    """Return every kind of change with every shape of job."""
    shapes = product(CHANGES, (1, 3), (1, 3), (None, WINDOW))
    return [Case(kind, form, n_files, epochs, window) for kind, n_files, epochs, window in shapes]


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a job read a few rows ahead, not all of them."""
    monkeypatch.setattr(job_reader, "_ROWS", 2 * BATCH)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("way", [between, during])
def test_a_changed_source_is_refused_or_learned_as_it_is(
    tmp_path: Path, campaign: Campaign, way: Callable[[Case, Place, Path], bool], form: str
) -> None:
    """Whatever happens to the files, whenever: no job ends with rows that are not those of the source."""
    random, tried = campaign.random, cases(form)
    some = [random.choice([case for case in tried if case.kind == kind]) for kind in CHANGES]
    outcomes = []
    for i, case in enumerate(campaign.size(1, 3) * (tried if campaign.is_full else some)):
        place = Place(tmp_path / f"source-{i}", form, case.n_files, random)
        outcomes.append(way(case, place, tmp_path / f"run-{i}"))
        shutil.rmtree(place.folder)
        shutil.rmtree(tmp_path / f"run-{i}")
    assert len(set(outcomes)) == 2
    campaign.tell("changed source", refused=sum(outcomes), continued=len(outcomes) - sum(outcomes))


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("way", [between, during])
def test_the_comparison_sees_what_nobody_verifies(
    tmp_path: Path, campaign: Campaign, monkeypatch: pytest.MonkeyPatch, form: str, way: Callable[..., bool]
) -> None:
    """The control: where a source is not verified, a replaced file is learned in silence, and the rule is broken."""
    monkeypatch.setattr(files_source._Chain, "_verify", lambda self, name, seen, **_: seen)
    for module in (files_source, parquet, text_reader):
        monkeypatch.setattr(module, "refuse_other_content", lambda *_: None)
    monkeypatch.setattr(parquet, "compare_whole", lambda *_: None)
    case = Case("replaced", form, n_files=1, epochs=3, window=None)
    place = Place(tmp_path / "source", form, 1, campaign.random)
    with pytest.raises(AssertionError, match="Case"):
        way(case, place, tmp_path / "run")


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("kind", ["rewritten ahead", "appended", "replaced", "removed"])
def test_no_row_is_handed_out_after_a_change(tmp_path: Path, campaign: Campaign, kind: str, form: str) -> None:
    """A file that must be as it was, in a later pass or as Parquet, is refused at the next block, not at its end."""
    place = Place(tmp_path / "source", form, 1, campaign.random)
    source, n_blocks = place.source(), blocks_of(place)
    with source.open(source.schema) as reader:
        assert sum(len(block) for block in reader) == PER_FILE
        start = reader.next_pass() if form != "parquet" else Cursor.start()
    with source.open(source.schema, start) as reader:
        for _ in range(campaign.random.randint(1, n_blocks - 1)):
            next(reader)
        place.change(kind, 0)
        with pytest.raises(ConnectorError, match="part-0"):
            next(reader)
    campaign.tell("changed source", refused=1)


@pytest.mark.parametrize("form", ["csv", "csv.gz", "csv.zst"])
def test_where_times_tell_nothing_the_text_does(
    tmp_path: Path, campaign: Campaign, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """On a file system whose times do not tell that a file was touched, a later pass is refused by its digest."""
    case = Case("rewritten ahead", form, n_files=3, epochs=2, window=None)
    place = Place(tmp_path / "source", form, 3, campaign.random)
    monkeypatch.setattr(files_source._Chain, "_verify", lambda self, name, seen, **_: seen)
    moment = blocks_of(place) + 1
    source = Changing(
        place.source(), moment, lambda cursor: place.change(case.kind, FileCursor.from_cursor(cursor).file + 1)
    )
    with pytest.raises(ConnectorError, match=r"part-1\..* replaced or edited"):
        learn(case, source, tmp_path / "run", observer=source)
    assert source.left <= 0
    campaign.tell("changed source", refused=1)


def test_compressed_text_cut_between_two_members_is_truncated(tmp_path: Path, campaign: Campaign) -> None:
    """What is left is a whole gzip file, and yet not what was opened."""
    path, many = tmp_path / "rows.csv.gz", rows(40_000, 0)
    first = encoded(many, "csv.gz")
    path.write_bytes(first + encoded(many, "csv.gz", header=False))
    source = open_source(path, block_size=1_000)
    with source.open(source.schema) as reader:
        next(reader)
        os.truncate(path, len(first))
        with pytest.raises(ConnectorError, match=r"rows\.csv\.gz: the file was truncated \(expected at least"):
            list(reader)
    assert open_source(path).schema == source.schema
    campaign.tell("changed source", refused=1)


@pytest.mark.parametrize("form", ["csv", "csv.gz"])
@pytest.mark.parametrize("kind", ["rewritten ahead", "appended", "replaced"])
def test_a_window_that_was_begun_is_drawn_from_the_same_rows(
    tmp_path: Path, campaign: Campaign, kind: str, form: str
) -> None:
    """Rows of a shuffle window lie behind its cursor, learned or not: none of them may change, none may be added."""
    case = Case(kind, form, n_files=1, epochs=1, window=PER_FILE - BATCH if kind != "appended" else 2 * PER_FILE)
    place = Place(tmp_path / "source", form, 1, campaign.random)
    stop = campaign.random.randint(1, PER_FILE // BATCH - 2)
    learn(case, place.source(), tmp_path / "run", max_minibatches=stop)
    if kind == "rewritten ahead":
        place.rewrite(0, PER_FILE - 2 * BATCH)
    else:
        place.change(kind, 0)
    with pytest.raises(ConnectorError, match=r"part-0\.csv.* window .* --restart"):
        learn(case, place.source(), tmp_path / "run")
    campaign.tell("changed source", refused=1)


def test_the_limit_of_what_is_promised_for_parquet(tmp_path: Path, campaign: Campaign) -> None:
    """Pages overwritten under the same footer, with the time put back, are not found between runs: as documented."""
    case = Case("forged", "parquet", n_files=1, epochs=1, window=None)
    place = Place(tmp_path / "source", "parquet", 1, campaign.random)
    learn(case, place.source(), tmp_path / "run", max_minibatches=5)
    path, table, old = place.paths[0], rows(PER_FILE, 0), place.paths[0].read_bytes()
    times = path.stat()
    place._write(0, encoded(table.take([0, 2, 1, *range(3, PER_FILE)]), "parquet"))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert path.read_bytes() != old
    assert path.read_bytes()[-200:] == old[-200:]
    assert learn(case, place.source(), tmp_path / "run").rows == PER_FILE


def test_the_command_line_names_the_file_and_fails(tmp_path: Path, campaign: Campaign) -> None:
    """A refused source is one line on standard error, with exit code 1."""
    place = Place(tmp_path / "source", "csv", 1, campaign.random)
    command = [sys.executable, "-m", "stream_bp", "train", str(place.folder), "--target", "label"]
    command += ["--backend", "numpy", "--batch-size", str(BATCH), "--run-dir", str(tmp_path / "run")]
    subprocess.run([*command, "--max-minibatches", "5"], check=True, capture_output=True)
    place.change("rewritten behind", 0)
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert "part-0.csv: the file was replaced or edited (expected SHA-256" in done.stderr.replace("\n", " ")
    campaign.tell("changed source", refused=1)
