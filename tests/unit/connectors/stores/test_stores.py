"""Sources over the network: addresses and secrets, failing servers, objects that are replaced."""

import base64
import gzip
import hmac
import io
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from connectors import (
    ConnectorError,
    CursorError,
    RowError,
    Source,
    SourceError,
    UnavailableError,
    open_source,
    rebatch,
    redact,
)
from connectors.stores import arrow_store, object_file, retry, storage
from connectors.stores.address import Address
from stream_bp import Checkpointer, Job
from stream_bp.cli.commands import predict
from stream_bp.config.job import JobConfig
from tests.crash.jobs import comparable, newest_step
from tests.stores import S3, Azure, Faults, Google, azure_server, faulty, google_server, s3_server

CANARY = "canary5ecret"


@pytest.fixture(scope="module")
def authority() -> Iterator[str]:
    """Run a server."""
    with s3_server() as authority:
        yield authority


@pytest.fixture
def store(authority: str) -> S3:
    """Return a bucket."""
    return S3(authority, "bucket")


@pytest.fixture
def faults(authority: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Faults]:
    """Put a failing server before the good one, and shorten all waiting times."""
    monkeypatch.setattr(retry, "_FIRST_WAIT_S", 0.001)
    monkeypatch.setattr(arrow_store, "_SDK_TRIES", 1)
    monkeypatch.setattr(object_file, "_AHEAD", 100_000)
    with faulty(authority) as faults:
        yield faults


def table(n_rows: int = 20_000) -> pa.Table:
    """Return rows that take more than one request, with an end that does not repeat the start."""
    x = [(i * 7919) % 104_729 / 104_729 for i in range(n_rows)]
    return pa.table({"n": range(n_rows), "x": x, "word": [f"w{i * 31 % 997}" for i in range(n_rows)]})


def as_csv(rows: pa.Table) -> bytes:
    """Return rows as text."""
    text = io.BytesIO()
    pacsv.write_csv(rows, text)
    return text.getvalue()


def as_gzip(rows: pa.Table) -> bytes:
    """Return rows as compressed text."""
    return gzip.compress(as_csv(rows))


def as_parquet(rows: pa.Table) -> bytes:
    """Return rows as Parquet of several row groups."""
    file = io.BytesIO()
    pq.write_table(rows, file, row_group_size=4_000)
    return file.getvalue()


CONTENTS: dict[str, Callable[[pa.Table], bytes]] = {
    "a.parquet": as_parquet,
    "a.csv": as_csv,
    "a.csv.gz": as_gzip,
}
PLACES = {"s3": S3.s3, "http": S3.http}


def read(source: Source) -> list[dict[str, Any]]:
    """Return every row."""
    with source.open(source.schema) as reader:
        return [row for block in reader for row in block.records.to_pylist()]


@pytest.mark.parametrize("kind", PLACES)
@pytest.mark.parametrize("name", CONTENTS)
@pytest.mark.parametrize("fault", ["reset", "short", "slow down", "error"])
def test_a_server_that_fails_for_a_while_loses_no_row(
    store: S3, faults: Faults, name: str, kind: str, fault: str
) -> None:
    """After resets, truncated bodies and retry answers, each row is read once, as from a good server."""
    store.put(name, CONTENTS[name](table()))
    faults.left = [fault, "", fault, fault, "", "", fault, fault, fault]
    source = open_source(PLACES[kind](store, name, faults.authority), block_size=50_000)
    assert read(source) == table().to_pylist()
    assert faults.counts[fault] == 6
    assert not faults.left


@pytest.mark.parametrize("kind", PLACES)
@pytest.mark.parametrize("name", CONTENTS)
@pytest.mark.parametrize("fault", ["reset", "short", "slow down", "error", "forbidden"])
def test_a_server_that_never_works_is_one_line(store: S3, faults: Faults, name: str, kind: str, fault: str) -> None:
    """It names the object, the reason and the tries; a refused request is made once. No row counts as bad."""
    store.put(name, CONTENTS[name](table()))
    faults.left, faults.is_for_ever = [fault], True
    with pytest.raises(UnavailableError, match=rf"{kind}://.*/{name}: ") as caught:
        open_source(PLACES[kind](store, name, faults.authority), keeps_bad_rows=True)
    assert "\n" not in str(caught.value)
    assert ("tried 6 times" in str(caught.value)) == (fault != "forbidden")
    assert faults.counts[fault] == 1 if fault == "forbidden" else 6 <= faults.counts[fault] <= 24


@pytest.mark.parametrize("kind", PLACES)
@pytest.mark.parametrize("name", CONTENTS)
def test_a_server_that_dies_in_the_middle_is_one_line(
    store: S3, faults: Faults, name: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows before it are yielded; then comes an error, not a bad row, though bad rows are kept."""
    monkeypatch.setattr(object_file, "_AHEAD", 10_000)
    store.put(name, CONTENTS[name](table(60_000)))
    address = PLACES[kind](store, name, faults.authority)
    source = open_source(address, block_size=10_000, keeps_bad_rows=True)
    reader = source.open(source.schema)
    next(reader)
    faults.left, faults.is_for_ever = ["reset"], True
    with pytest.raises(UnavailableError, match=f"{name}: .*tried 6 times"):
        list(reader)


def test_a_server_that_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a server, both kinds of store say so, with the object."""
    monkeypatch.setattr(retry, "_FIRST_WAIT_S", 0.001)
    monkeypatch.setattr(arrow_store, "_SDK_TRIES", 1)
    for address in ("s3://bucket/a.csv?endpoint_override=127.0.0.1:1&scheme=http", "http://127.0.0.1:1/a.csv"):
        with pytest.raises(UnavailableError, match=r"a\.csv: .*(C|c)onnect.*tried 6 times"):
            open_source(address)


def test_tries_wait_longer_and_longer_and_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five waits, each about twice the last; none for a refusal, or for a bug of ours."""
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)

    def fail(error: Exception) -> Callable[[], None]:
        def ask() -> None:
            raise error

        return ask

    with pytest.raises(UnavailableError, match=r"one: reset \(tried 6 times"):
        retry.patiently("one", fail(ConnectionResetError("reset")))
    assert len(waits) == 5
    assert all(0.25 * 2**i <= wait <= 0.5 * 2**i for i, wait in enumerate(waits))
    waits.clear()
    with pytest.raises(UnavailableError, match="one: no such object"):
        retry.patiently("one", fail(FileNotFoundError("https://host/one?token=secret")))
    with pytest.raises(ZeroDivisionError):
        retry.patiently("one", fail(ZeroDivisionError()))
    assert waits == []


_URL = URL(f"https://host/one?signature={CANARY}")
_REQUEST = aiohttp.RequestInfo(_URL, "GET", CIMultiDictProxy(CIMultiDict()), _URL)
FOREIGN = [
    (OSError("AWS Error NETWORK_CONNECTION during GetObject operation: curlCode: 56"), False),
    (OSError("AWS Error SLOW_DOWN during GetObject operation: not now"), False),
    (OSError("AWS Error UNKNOWN (HTTP status 503) during HeadObject operation"), False),
    (OSError("AWS Error UNKNOWN (HTTP status 429) during HeadObject operation"), False),
    (OSError("AWS Error UNKNOWN (HTTP status 400) during HeadObject operation"), True),
    (OSError("AWS Error ACCESS_DENIED during GetObject operation: Access Denied (Request ID: X)"), True),
    (OSError("AWS Error NO_SUCH_BUCKET during ListObjectsV2 operation"), True),
    (OSError("AWS Error INVALID_ACCESS_KEY_ID during HeadObject operation"), True),
    (OSError("google::cloud::Status(PERMISSION_DENIED: no storage.objects.get access)"), True),
    (OSError("google::cloud::Status(UNAVAILABLE: try again)"), False),
    (OSError("GetProperties failed. Azure Error: [AuthorizationFailure] 403 This request is not authorized"), True),
    (OSError("GetProperties failed. Azure Error: [ServerBusy] 503 The server is busy"), False),
    (pa.ArrowInvalid("AzureOptions doesn't contain a valid account name"), True),
    (pa.ArrowException("something"), False),
    (aiohttp.ServerDisconnectedError(), False),
    (aiohttp.ClientPayloadError("Response payload is not completed"), False),
    (aiohttp.ClientResponseError(_REQUEST, (), status=403, message="Forbidden"), True),
    (aiohttp.ClientResponseError(_REQUEST, (), status=502, message="Bad Gateway"), False),
    (TimeoutError(), False),
    (EOFError("the connection ended"), False),
]


@pytest.mark.parametrize(("error", "is_refused"), FOREIGN, ids=lambda value: str(value)[:60])
def test_what_libraries_raise_is_told_apart(
    error: Exception, is_refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Transient errors are retried, answers are not; all become one `ConnectorError` on one line."""
    monkeypatch.setattr(retry, "_FIRST_WAIT_S", 0.0)
    tries = []

    def ask() -> None:
        tries.append(1)
        raise error

    with pytest.raises(UnavailableError, match=r"^gs://bucket/one: \S+") as caught:
        retry.patiently("gs://bucket/one", ask)
    assert len(tries) == (1 if is_refused else 6)
    assert "Request ID" not in str(caught.value)
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("kind", PLACES)
@pytest.mark.parametrize("name", CONTENTS)
def test_another_version_is_refused_between_runs(store: S3, name: str, kind: str) -> None:
    """Size and the part that was read may be equal: the object is another one."""
    rows = table(600)
    store.put(name, CONTENTS[name](rows))
    source = open_source(PLACES[kind](store, name))
    with source.open(source.schema) as reader:
        cursor = next(rebatch(reader, 200)).cursor(200)
    edited = rows.to_pylist()
    edited[500]["word"] = "edited"
    store.put(name, CONTENTS[name](pa.Table.from_pylist(edited)))
    with pytest.raises(CursorError, match=rf"{name}: the object was replaced \(expected version"):
        open_source(PLACES[kind](store, name)).open(source.schema, cursor)
    store.delete(name)
    with pytest.raises(UnavailableError, match=f"{name}: "):
        open_source(PLACES[kind](store, name))


@pytest.mark.parametrize("kind", PLACES)
@pytest.mark.parametrize("name", CONTENTS)
@pytest.mark.parametrize("check_s", [0.0, 1e9])
def test_another_version_is_refused_while_it_is_read(
    store: S3, name: str, kind: str, check_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With checks around each block or only at the end, no reader reaches the end of two versions."""
    monkeypatch.setattr(object_file, "_AHEAD", 10_000)
    monkeypatch.setattr(storage, "_CHECK_S", check_s)
    store.put(name, CONTENTS[name](table(60_000)))
    source = open_source(PLACES[kind](store, name), block_size=10_000)
    reader = source.open(source.schema)
    next(reader)
    edited = table(60_000).to_pylist()
    edited[50_000]["word"] = "x" * len(edited[50_000]["word"])
    store.put(name, CONTENTS[name](pa.Table.from_pylist(edited)))
    with pytest.raises(CursorError, match=rf"{name}: the object was replaced"):
        list(reader)


def test_a_cursor_of_a_file_without_version_is_read() -> None:
    """Old cursors have no version."""
    from connectors import Cursor, FileCursor

    identity = {"name": "a", "size": 1, "mtime_ns": 1, "ctime_ns": 1, "inode": 1, "offset": 1, "digest": ""}
    cursor = Cursor.from_json({"row": 1, "file": 0, "seen": [identity], "before": []})
    assert FileCursor.from_cursor(cursor).seen[0].version == ""


def test_folders_and_patterns_of_a_bucket(authority: str) -> None:
    """A folder gives all objects below it, sorted; * stays within a folder, ** does not; options are kept."""
    store = S3(authority, "folders")
    for key in ("f/b.csv", "f/a.csv", "f/.c.csv", "f/_d.csv", "f/e.txt", "f/g/h.csv", "f/g/i/j.csv", "k[1].csv"):
        store.put(key, b"x\n1\n")

    def keys(place: str) -> list[str]:
        return [path.split("?")[0].removeprefix("s3://folders/") for path in open_source(store.s3(place)).paths]

    assert keys("f/*.csv") == keys("f/[ab].csv") == ["f/a.csv", "f/b.csv"]
    whole = ["f/a.csv", "f/b.csv", "f/g/h.csv", "f/g/i/j.csv"]
    assert keys("f/") == keys("f") == keys("f/*") == keys("f/**/*.csv") == keys("f/**") == keys("f*") == whole
    assert keys("f/g*") == keys("f/g/") == keys("*/g/*") == ["f/g/h.csv", "f/g/i/j.csv"]
    assert keys("f/*/*.csv") == ["f/g/h.csv"]
    assert keys("f/[!b].csv") == ["f/a.csv"]
    path = open_source(store.s3("f/")).paths[0]
    assert read(open_source(path)) == [{"x": 1}]


def test_partitions_and_tables_of_a_bucket(authority: str) -> None:
    """Partitions are columns, as on a disk; a table is refused, whichever part of it is named."""
    store = S3(authority, "tables")
    for month in ("01", "02"):
        store.put(f"h/year=2023/month={month}/a.csv", b"x\n1\n")
    for place in ("h", "h/*", "h/**/*.csv", "h/year=*", "h/year=2023", "h/year=2023/month=*"):
        found = read(open_source(store.s3(place)))
        assert found == [{"x": 1, "year": 2023, "month": month} for month in (1, 2)], place
    for kind, log in {
        "Delta": "_delta_log/0.json",
        "Iceberg": "metadata/v1.metadata.json",
        "Hudi": ".hoodie/h",
    }.items():
        for key in (log, "data/y=1/a.csv", "b.csv"):
            store.put(f"t/{kind}/{key}", b"x\n1\n")
        for place in ("", "/", "/*.csv", "/**/*.csv", "/data", "/data/*/*", "/data/y=1/"):
            with pytest.raises(SourceError, match=f"^s3://tables/t/{kind}: an? {kind} table"):
                open_source(store.s3(f"t/{kind}{place}"))


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
def test_the_environment_says_which_server_is_asked(store: S3, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address need not name the server."""
    store.put("a.csv", b"x\n1\n")
    monkeypatch.setenv(variable, f"http://{store.authority}")
    source = open_source("s3://bucket/a.csv")
    assert source.paths == ("s3://bucket/a.csv",)
    assert read(source) == [{"x": 1}]


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("s3://bucket/no.csv", r"s3://bucket/no\.csv: no such object"),
        ("s3://nobucket/no.csv", r"s3://nobucket/no\.csv: no such object"),
        ("s3://nobucket/folder/", "NO_SUCH_BUCKET"),
        ("s3://bucket/a.md", "unknown file type"),
        ("s3://bucket/*.csv.zst", "no data file there"),
    ],
)
def test_what_is_not_there_is_refused(store: S3, place: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error comes at once, on one line, with the name."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{store.authority}")
    monkeypatch.setattr(retry, "_FIRST_WAIT_S", 1e9)
    store.put("a.md", b"")
    with pytest.raises(SourceError, match=words) as caught:
        open_source(place)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("place", "name", "kept"),
    [
        ("s3://b/k/a.csv", "s3://b/k/a.csv", "s3://b/k/a.csv"),
        ("s3://b/a?endpoint_override=h:1&scheme=http", "s3://b/a", "s3://b/a?endpoint_override=h:1&scheme=http"),
        ("gs://anonymous@b/a.csv", "gs://anonymous@b/a.csv", "gs://anonymous@b/a.csv"),
        ("abfs://c@a.dfs.core.windows.net/a", "abfs://c@a.dfs.core.windows.net/a", "abfs://c@a.dfs.core.windows.net/a"),
        ("HTTPS://u:p@h:1/a%20b.csv?sig=s", "https://h:1/a%20b.csv", "https://…@h:1/a%20b.csv?…"),
    ],
)
def test_addresses_are_taken_apart(place: str, name: str, kept: str) -> None:
    """The name is for messages; the saved address finds the place again, apart from its secrets."""
    assert (Address.of(place).name, Address.of(place).redacted, redact(place)) == (name, kept, kept)


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (f"s3://AKIA:{CANARY}@bucket/a.csv", "credentials"),
        (f"s3://AKIA:{CANARY}/x@bucket/a.csv", "cannot be read"),
        (f"s3://bucket/a.csv?X-Amz-Signature={CANARY}", "unknown options after '\\?': X-Amz-Signature"),
        (f"gs://user:{CANARY}@bucket/a.csv", "credentials"),
        (f"abfs://c:{CANARY}@account.dfs.core.windows.net/a.csv", "credentials"),
        (f"abfs://c@account.dfs.core.windows.net/a.csv?sig={CANARY}", "unknown options after '\\?': sig"),
        (f"https://u:{CANARY}/x@host/a.csv", "cannot be read"),
        (f"ftp://u:{CANARY}@host/a.csv?{CANARY}", "scheme 'ftp' is not supported"),
        (f"https://host/folder?{CANARY}", "unknown file type"),
        ("https://…@host/a.csv", "is not saved; give the address again"),
        ("https://host/a.csv?…", "is not saved; give the address again"),
        ("abfs://container/a.csv", "valid account name"),
    ],
)
def test_addresses_that_are_none_are_refused_without_their_secrets(place: str, words: str) -> None:
    """The message names what is not allowed, but not its value."""
    with pytest.raises(SourceError, match=words) as caught:
        open_source(place)
    assert CANARY not in str(caught.value)
    assert "\n" not in str(caught.value)
    # The part after "?" in another package's address is kept: the place could not be found again without it.
    assert CANARY not in (redact(place) if "ftp" not in place else redact(place).partition("?")[0])


def test_two_addresses_of_one_name_are_refused(store: S3) -> None:
    """If only hidden parts differ, messages could not distinguish them."""
    store.put("a.csv", b"x\n1\n")
    address = store.http("a.csv")
    assert len(read(open_source(address, address))) == 2
    with pytest.raises(SourceError, match="two addresses have this name"):
        open_source(f"{address}?page=1", f"{address}?page=2")


def test_addresses_cannot_be_followed() -> None:
    """The error is one line that says so."""
    from connectors import Follow

    with pytest.raises(SourceError, match=r"https://host/a\.csv\?…: only local files.*followed"):
        open_source(f"https://host/a.csv?{CANARY}", follow=Follow())


class _Whole(BaseHTTPRequestHandler):
    """Send whole files for every request; send the length if the name starts with "long"."""

    def do_GET(self) -> None:
        body = b"x\n" + b"1\n" * 9_000_000
        self.send_response_only(200)
        if self.path.startswith("/long"):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815 - as its base calls it

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.mark.parametrize(("name", "words"), [("long.csv", "only whole files"), ("unknown.csv", "size of the file")])
def test_a_web_server_that_sends_no_parts_is_refused(name: str, words: str) -> None:
    """A read of such a file cannot be resumed, so the user must download it."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Whole)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with pytest.raises(SourceError, match=f"{name}: .*{words}.*download it"):
        read(open_source(f"http://127.0.0.1:{server.server_port}/{name}"))
    server.shutdown()
    server.server_close()


def test_a_bad_row_of_an_object_is_named(store: S3) -> None:
    """The error names line and file, as for a file on a disk; the row can be skipped."""
    store.put("bad.csv", b"x,y\n1,2\n3\n5,6\n")
    source = open_source(store.s3("bad.csv"))
    with pytest.raises(RowError, match=r"s3://bucket/bad\.csv, row 1 \(line 3\): expected 2 fields"):
        read(source)
    assert len(read(open_source(store.s3("bad.csv"), keeps_bad_rows=True))) == 2


def test_http_without_its_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error is one line with the command."""
    monkeypatch.setitem(sys.modules, "fsspec.implementations.http", None)
    with pytest.raises(SourceError, match=r'https://host/a\.csv: .*pip install "stream-bp\[remote\]"'):
        open_source("https://host/a.csv")


def learnable(n_rows: int = 2_000) -> pa.Table:
    """Return rows with a label."""
    rows = table(n_rows)
    return rows.append_column("label", pa.array(["a" if x > 0.5 else "b" for x in rows["x"].to_pylist()]))


def job(place: str, run_dir: Path, **settings: Any) -> Job:
    """Return a small job, as the command line makes it."""
    usual = {"target": ["label"], "hidden_layers": [4], "batch_size": 8, "backend": "numpy", "checkpoint_every": "50"}
    config = JobConfig.of({**usual, "source": [place], "run_dir": str(run_dir), **settings})
    return Job(open_source(place), config)


def test_no_secret_is_kept_or_shown(
    store: S3, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """A password and a signature are in no file of the run directory, message, prediction or log."""
    caplog.set_level("DEBUG", "connectors")
    store.put("a.csv", as_csv(learnable()))
    host = store.authority
    address = f"http://user:{CANARY}@{host}/bucket/a.csv?X-Amz-Signature={CANARY}"
    source = open_source(address)
    job(address, tmp_path / "run", max_rows=800).run()
    job(address, tmp_path / "run").run()
    predict.run(str(tmp_path / "run"), [address], str(tmp_path / "predicted.csv"), {"quiet": True}, {})
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 4
    assert not [path for path in files if CANARY.encode() in path.read_bytes()]
    loaded = Checkpointer(tmp_path / "run" / "checkpoints").newest()
    assert loaded is not None
    assert loaded.snapshot.state["sources"] == [f"http://…@{host}/bucket/a.csv?…"]
    store.put("a.csv", as_csv(learnable(1_000)))
    with pytest.raises(ConnectorError) as caught:
        job(address, tmp_path / "run", max_rows=3_000).run()
    said = "".join(capfd.readouterr()) + caplog.text + str(caught.value) + repr(caught.value.__cause__)
    assert CANARY not in "".join(line for line in said.splitlines() if "HTTP/1.1" not in line)  # the server's own log
    assert CANARY not in json.dumps(source.paths) + source.description


@pytest.mark.parametrize("kind", PLACES)
@pytest.mark.parametrize("name", CONTENTS)
def test_a_job_over_the_network_learns_what_one_from_a_disk_does(
    store: S3, tmp_path: Path, name: str, kind: str
) -> None:
    """θ is the same, also after a stop and a resume."""
    content = CONTENTS[name](learnable())
    store.put(name, content)
    (tmp_path / name).write_bytes(content)
    local = job(str(tmp_path / name), tmp_path / "local").run()
    address = PLACES[kind](store, name)
    undisturbed = job(address, tmp_path / "undisturbed").run()
    job(address, tmp_path / "stopped", max_rows=720).run()
    resumed = job(address, tmp_path / "stopped").run()
    assert local.weights_sha256 == undisturbed.weights_sha256 == resumed.weights_sha256
    assert comparable(tmp_path / "undisturbed")[1:] == comparable(tmp_path / "stopped")[1:]


def command(*arguments: str) -> list[str]:
    """Return the command line."""
    return [sys.executable, "-m", "stream_bp", *arguments]


@pytest.mark.parametrize("name", ["rows.parquet", "rows.csv.gz"])
def test_a_job_that_is_killed_goes_on_in_the_same_bits(store: S3, tmp_path: Path, name: str) -> None:
    """Killed twice during a read from S3 and resumed by its directory, it ends with the same θ."""
    store.put(name, CONTENTS[name.replace("rows", "a")](learnable(6_000)))
    address, run_dir = store.s3(name), tmp_path / "killed"
    undisturbed = job(address, tmp_path / "undisturbed", batch_size=1, checkpoint_every="20").run()
    usual = [
        "--target",
        "label",
        "--hidden-layers",
        "4",
        "--batch-size",
        "1",
        "--backend",
        "numpy",
        "--checkpoint-every",
        "20",
    ]
    for _ in range(2):
        killed = subprocess.Popen(command("train", address, *usual, "--run-dir", str(run_dir)))
        before = newest_step(run_dir)
        while killed.poll() is None and newest_step(run_dir) <= before + 40:
            time.sleep(0.01)
        killed.kill()
        assert killed.wait() == -signal.SIGKILL
    said = subprocess.run(command("resume", str(run_dir), "--json"), check=True, capture_output=True, text=True).stdout
    assert json.loads(said)["weights_sha256"] == undisturbed.weights_sha256
    assert json.loads(said)["rows"] == undisturbed.rows


def test_a_job_whose_server_dies_goes_on_when_it_is_back(store: S3, faults: Faults, tmp_path: Path) -> None:
    """It saves and ends with one line; run again, it ends like an undisturbed job."""
    store.put("a.parquet", as_parquet(learnable(80_000)))
    place = store.s3("a.parquet", faults.authority)
    faults.left = [""] * 1_000
    undisturbed = job(place, tmp_path / "undisturbed", batch_size=64).run()
    n_requests = faults.counts[""]
    faults.left, faults.is_for_ever = [*[""] * (n_requests * 2 // 3), "reset"], True
    disturbed = job(place, tmp_path / "disturbed", batch_size=64)
    with pytest.raises(UnavailableError, match="tried 6 times"):
        disturbed.run()
    assert 0 < newest_step(tmp_path / "disturbed") < newest_step(tmp_path / "undisturbed")
    faults.left, faults.is_for_ever = [], False
    assert job(place, tmp_path / "disturbed", batch_size=64).run().weights_sha256 == undisturbed.weights_sha256


def test_the_command_line_reads_and_refuses(store: S3, tmp_path: Path) -> None:
    """Predict and evaluate read addresses too; a failure is exit code 1 and one line without secrets."""
    store.put("a.csv", as_csv(learnable(500)))
    job(store.s3("a.csv"), tmp_path / "run").run()
    run_dir, output = str(tmp_path / "run"), str(tmp_path / "predicted.csv")
    subprocess.run(command("predict", run_dir, store.http("a.csv"), "--output", output), check=True)
    said = subprocess.run(
        command("evaluate", run_dir, store.s3("a.csv"), "--json"), check=True, capture_output=True, text=True
    )
    assert json.loads(said.stdout)["rows"] == 500
    address = f"http://user:{CANARY}@{store.authority}/bucket/none.csv?signature={CANARY}"
    for debug in ([], ["--debug"]):
        refused = subprocess.run(
            command(*debug, "evaluate", run_dir, address), check=False, capture_output=True, text=True
        )
        assert refused.returncode == 1
        assert "none.csv: HTTP status 404" in refused.stderr
        assert debug or len(refused.stderr.splitlines()) == 1
        assert CANARY not in refused.stdout + refused.stderr


@pytest.fixture(scope="module")
def google() -> Iterator[Google]:
    """Return a bucket of Google's store."""
    with google_server() as authority:
        yield Google(authority, "bucket")


@pytest.fixture(scope="module")
def azure() -> Iterator[Azure]:
    """Return a container of Azure's store."""
    with azure_server() as authority:
        yield Azure(authority, "container")


@pytest.fixture(params=["google", "azure"])
def other(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Google | Azure:
    """Return either bucket, with its credentials in the environment."""
    monkeypatch.setenv("AZURE_STORAGE_KEY", Azure.KEY)
    monkeypatch.setattr(retry, "_FIRST_WAIT_S", 1e9)  # a retry would hang here
    found: Google | Azure = request.getfixturevalue(request.param)
    return found


@pytest.mark.parametrize("name", CONTENTS)
def test_an_object_of_another_store_is_read_and_gone_on_with(other: Google | Azure, name: str) -> None:
    """By address, folder and pattern; another version and a missing object are refused at once."""
    folder = name.replace(".", "-")
    other.put(f"{folder}/{name}", CONTENTS[name](table()))
    address = other.address(f"{folder}/{name}")
    for place in (other.address(folder), other.address(f"{folder}/"), other.address(f"*/{name}")):
        assert open_source(place).paths == (address,)
    source = open_source(address, block_size=50_000)
    with source.open(source.schema) as reader:
        cursor = next(rebatch(reader, 7_000)).cursor(7_000)
    assert cursor.state["seen"][0]["version"]
    with open_source(address).open(source.schema, cursor) as reader:
        rest = [row for block in reader for row in block.records.to_pylist()]
    assert rest == table().to_pylist()[7_000:]
    edited = table().to_pylist()
    edited[19_000]["word"] = "x" * len(edited[19_000]["word"])
    other.put(f"{folder}/{name}", CONTENTS[name](pa.Table.from_pylist(edited)))
    with pytest.raises(CursorError, match=f"{name}: the object was replaced"):
        open_source(address).open(source.schema, cursor)
    other.delete(f"{folder}/{name}")
    with pytest.raises(UnavailableError, match=rf"{name}: no such object"):
        open_source(address)


def test_a_job_over_another_store_goes_on_in_the_same_bits(other: Google | Azure, tmp_path: Path) -> None:
    """θ is that of a job from a disk, and that of a job that was stopped."""
    other.put("a.csv", as_csv(learnable()))
    (tmp_path / "a.csv").write_bytes(as_csv(learnable()))
    local = job(str(tmp_path / "a.csv"), tmp_path / "local").run()
    address = other.address("a.csv")
    job(address, tmp_path / "stopped", max_rows=720).run()
    assert job(address, tmp_path / "stopped").run().weights_sha256 == local.weights_sha256
    kept = [path for path in (tmp_path / "stopped").rglob("*") if path.is_file()]
    assert not [path for path in kept if Azure.KEY.encode() in path.read_bytes()]


def test_a_server_of_azure_on_a_machine_of_ones_own(azure: Azure, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its addresses put the account before the server and the container into the path; patterns work."""
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", Azure.KEY)
    azure.put("own/a.csv", b"x\n1\n")
    address = azure.address_by_server("own/a.csv")
    for place in (address, azure.address_by_server("own/"), azure.address_by_server("own/*.csv")):
        source = open_source(place)
        assert source.paths == (address,)
        assert read(source) == [{"x": 1}]


def signature(permissions: str) -> str:
    """Return a signature that opens the test account for reading, made with its key."""
    version, until = "2020-08-04", "2050-01-01T00:00:00Z"
    fields = [Azure.ACCOUNT, permissions, "b", "sco", "", until, "", "https,http", version]
    signed = hmac.digest(base64.b64decode(Azure.KEY), "".join(f"{field}\n" for field in fields).encode(), "sha256")
    parts = {"sv": version, "ss": "b", "srt": "sco", "sp": permissions, "se": until, "spr": "https,http"}
    return urlencode({**parts, "sig": base64.b64encode(signed).decode()})


def test_a_signature_opens_a_container_of_azure(
    azure: Azure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """With and without its question mark; it is neither saved nor shown, and is limited in its rights."""
    azure.put("signed/a.csv", as_csv(learnable()))
    place = azure.address("signed/")
    for token in (signature("rl"), f"?{signature('rl')}"):
        monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", token)
        assert len(read(open_source(place))) == 2_000
    job(place, tmp_path / "run", max_rows=80).run()
    secret = token.rpartition("=")[2].encode()
    assert not [path for path in (tmp_path / "run").rglob("*") if path.is_file() and secret in path.read_bytes()]
    monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", signature("w"))
    with pytest.raises(UnavailableError, match="403") as caught:
        open_source(place)
    assert secret.decode() not in str(caught.value) + "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"AZURE_STORAGE_KEY": "a" + Azure.KEY[1:]}, "AuthorizationFailure"),
        ({"AZURE_STORAGE_KEY": "no key"}, "Base64"),
        ({}, "not permitted for non TLS"),
    ],
)
def test_credentials_of_azure_that_are_none_are_refused_at_once(
    azure: Azure, variables: dict[str, str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is one line, after one try, without names of C++ classes."""
    monkeypatch.setattr(retry, "_FIRST_WAIT_S", 1e9)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UnavailableError, match=words) as caught:
        open_source(azure.address("a.csv"))
    assert "\n" not in str(caught.value)
    assert "Exception" not in str(caught.value)


def test_a_server_of_azure_that_fails_for_a_while_loses_no_row(azure: Azure, monkeypatch: pytest.MonkeyPatch) -> None:
    """Resets, truncated bodies and retry answers, all at the first requests for content."""
    monkeypatch.setenv("AZURE_STORAGE_KEY", Azure.KEY)
    monkeypatch.setattr(retry, "_FIRST_WAIT_S", 0.001)
    monkeypatch.setattr(object_file, "_AHEAD", 100_000)
    azure.put("failing.csv", as_csv(table()))
    with faulty(azure.authority) as faults:
        source = open_source(azure.address("failing.csv", faults.authority), block_size=50_000)
        faults.left = ["reset", "", "short", "", "slow down"]
        assert read(source) == table().to_pylist()
        assert faults.counts == {"": 2, "reset": 1, "short": 1, "slow down": 1}
