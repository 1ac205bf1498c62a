"""Types: inferred alike however rows are cut, declared by name, and copied as written."""

import datetime as dt
import itertools
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from connectors import open_source
from connectors.errors import RowError
from stream_bp import Job, load
from stream_bp.errors import ConfigError
from stream_bp.job.observer import Observer
from stream_bp.persistence import checkpoints

N_ROWS = 240


class Lines(Observer):
    """Keeps the messages."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def on_message(self, line: str) -> None:
        """Keep one."""
        self.lines.append(line)


def learn(source: Any, target: Any = "y", **settings: Any) -> tuple[Any, list[str]]:
    """Return the summary of a job, and what it said."""
    lines = Lines()
    job = Job(source, target=target, hidden_layers=(3,), batch_size=8, backend="numpy", observer=lines, **settings)
    return job.run(), lines.lines


def write_csv(path: Path, columns: dict[str, list[Any]]) -> str:
    """Write columns as text, with quotes only where they are needed."""
    rows = [",".join(columns)]
    rows += [
        ",".join(f'"{cell}"' if "," in str(cell) else str(cell) for cell in row)
        for row in zip(*columns.values(), strict=True)
    ]
    path.write_text("\n".join(rows) + "\n")
    return str(path)


def columns(**others: list[Any]) -> dict[str, list[Any]]:
    """Return a feature and a label, and other columns."""
    return {
        "x": [i * 7 % 11 for i in range(N_ROWS)],
        **others,
        "y": ["no" if i * 7 % 11 < 5 else "yes" for i in range(N_ROWS)],
    }


MESSY: dict[str, list[Any]] = {
    "price": [f"{i * 977 % 90_000:,}" for i in range(N_ROWS)],
    "rate": [f"{i % 40 / 10:.1f}%" for i in range(N_ROWS)],
    "gain": [f"({i % 9}.50)" if i % 3 else f"{i}.25" for i in range(N_ROWS)],
    "day": [f"{i % 12 + 1:02}/{i % 28 + 1:02}/2024" for i in range(N_ROWS)],
    "late": ["" if i < 200 else f"w{i % 3}" for i in range(N_ROWS)],
    "rare": [i % 5 if i % 150 else "none" for i in range(N_ROWS)],
    "mixed": [i if i % 3 else "off" for i in range(N_ROWS)],
    "code": [f"{i % 50:04}" for i in range(N_ROWS)],
}


@pytest.mark.parametrize("n_files", [2, 3, 7, 60])
def test_types_do_not_depend_on_how_rows_are_cut_into_files(tmp_path: Path, n_files: int) -> None:
    """Types, notations and doubts are those of the whole stream."""
    whole = open_source(write_csv(tmp_path / "all.csv", columns(**MESSY)))
    (tmp_path / "cut").mkdir()
    rows = list(range(N_ROWS))
    for k in range(n_files):
        part = rows[k * N_ROWS // n_files : (k + 1) * N_ROWS // n_files]
        cut = {name: [cells[i] for i in part] for name, cells in columns(**MESSY).items()}
        write_csv(tmp_path / "cut" / f"{k:02}.csv", cut)
    parts = open_source(tmp_path / "cut")
    for one, other in zip(whole.schema, parts.schema, strict=True):
        assert one.type == other.type, one.name
        assert {k: v for k, v in (one.metadata or {}).items() if k != b"doubt"} == {
            k: v for k, v in (other.metadata or {}).items() if k != b"doubt"
        }
    assert whole.type_warnings.keys() == parts.type_warnings.keys()
    types = {field.name: str(field.type) for field in whole.schema}
    assert types == {
        "x": "int64",
        "price": "double",
        "rate": "double",
        "gain": "double",
        "day": "date32[day]",
        "late": "string",
        "rare": "int64",
        "mixed": "string",
        "code": "int64",
        "y": "string",
    }


def test_the_task_does_not_depend_on_row_groups(tmp_path: Path) -> None:
    """351 whole numbers are no classes, even if few of them are in the first row group."""
    rows = pa.table({"x": [i % 7 / 7 for i in range(900)], "count": [i * i % 351 for i in range(900)]})
    for size in (1, 10, 1000):
        pq.write_table(rows, tmp_path / f"{size}.parquet", row_group_size=size)
    found = [learn(open_source(tmp_path / f"{size}.parquet"), "count")[0] for size in (1, 10, 1000)]
    assert [summary.task for summary in found] == ["regression"] * 3
    assert len({summary.weights_sha256 for summary in found}) == 1
    few = rows.set_column(1, "count", pa.array([float(i % 3) for i in range(900)]))
    summary, _ = learn(open_source(few), "count")
    assert summary.task == "classification"


def test_a_fraction_among_guessed_classes_is_a_bad_row_that_names_the_setting() -> None:
    """It is not a new class."""
    rows = pa.table({"x": [i % 7 / 7 for i in range(12_000)], "n": [float(i % 3) for i in range(11_999)] + [2.5]})
    with pytest.raises(RowError, match=r"row 11999: column 'n': '2.5' .*--task regression"):
        learn(open_source(rows), "n")
    assert learn(open_source(rows), "n", task="classification")[0].task == "classification"


def test_too_many_guessed_classes_are_said_once() -> None:
    """The first 10,000 rows have three of them."""
    rows = pa.table({"x": [i % 7 / 7 for i in range(12_000)], "n": [i % 3 if i < 10_500 else i for i in range(12_000)]})
    with pytest.raises(Exception, match="classes"):
        learn(open_source(rows), "n")
    lines = Lines()
    few = rows.slice(0, 10_600)
    Job(open_source(few), target="n", batch_size=32, observer=lines).run()
    said = [line for line in lines.lines if "was taken for classes" in line]
    assert len(said) == 1
    assert "--task regression" in said[0]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("price", [float(i * 977 % 90_000) for i in range(N_ROWS)]),
        ("rate", [i % 40 / 10 for i in range(N_ROWS)]),
        ("gain", [-(i % 9 + 0.5) if i % 3 else i + 0.25 for i in range(N_ROWS)]),
    ],
)
def test_a_target_in_a_notation_is_a_number(tmp_path: Path, name: str, values: list[float]) -> None:
    """It is learned as the plain numbers are, in CSV; in Parquet, where it is declared as text, it is named."""
    plain, _ = learn(open_source(pa.table({**columns(), "t": values})), "t")
    path = write_csv(tmp_path / "a.csv", columns(t=MESSY[name]))
    written, lines = learn(open_source(path), "t", features=["x", "y"])
    assert written.task == "regression"
    assert written.weights_sha256 == plain.weights_sha256
    assert any(line.startswith("column 't' is read as numbers") and "--types t=text" in line for line in lines)
    table = pa.table(columns(t=MESSY[name]))
    _, lines = learn(open_source(table), "t")
    assert any("target column 't' is read as words, but looks like numbers" in line for line in lines)
    declared, _ = learn(open_source(table), "t", features=["x", "y"], types={"t": "number"})
    assert declared.weights_sha256 == plain.weights_sha256


def test_dates_are_read_or_named(tmp_path: Path) -> None:
    """A format that fits alone is used; where two fit, both are named."""
    path = write_csv(tmp_path / "a.csv", columns(day=MESSY["day"]))
    summary, lines = learn(open_source(path))
    assert summary.model.startswith("layers 6-")
    assert any("column 'day' is read as dates" in line for line in lines)
    as_text, _ = learn(open_source(pa.table(columns(day=MESSY["day"]))), types={"day": "date:%m/%d/%Y"})
    assert as_text.weights_sha256 == summary.weights_sha256
    both = columns(day=[f"0{i % 9 + 1}/0{i % 8 + 1}/2024" for i in range(N_ROWS)])
    for source in (open_source(write_csv(tmp_path / "b.csv", both)), open_source(pa.table(both))):
        _, lines = learn(source)
        assert any("date:%d/%m/%Y" in line and "date:%m/%d/%Y" in line for line in lines)
        with pytest.raises(ConfigError, match=r"types: give the format of 'day'"):
            learn(source, types={"day": "date"})


def test_classes_are_kept_as_written_on_request(tmp_path: Path) -> None:
    """01, 010 and 1 are three classes; so are labels of twenty digits, without a request."""
    labels = ["01", "010", "1"]
    path = write_csv(tmp_path / "a.csv", {"x": [*range(60)], "code": labels * 20})
    _, lines = learn(open_source(path), "code", max_rows=24)
    assert any("leading zeros" in line and "--types code=text" in line for line in lines)
    learn(open_source(path), "code", types={"code": "text"}, run_dir=str(tmp_path / "run"))
    assert load(tmp_path / "run").snapshot.state["model"]["labels"] == [labels]
    long = ["18446744073709550000", "18446744073709550001"]
    path = write_csv(tmp_path / "b.csv", {"x": [*range(60)], "code": long * 30})
    learn(open_source(path), "code", run_dir=str(tmp_path / "long"))
    assert load(tmp_path / "long").snapshot.state["model"]["labels"] == [long]


def test_a_rare_class_is_a_class(tmp_path: Path) -> None:
    """One label in 240 is no number; as a feature it would be a bad row, which is said."""
    cells = [str(i % 3) if i != 100 else ">3" for i in range(N_ROWS)]
    path = write_csv(tmp_path / "a.csv", {"x": [*range(N_ROWS)], "n": cells})
    learn(open_source(path), "n", run_dir=str(tmp_path / "r"))
    assert load(tmp_path / "r").snapshot.state["model"]["labels"] == [["0", "1", "2", ">3"]]
    path = write_csv(tmp_path / "b.csv", columns(n=cells))
    with pytest.raises(RowError, match=r"row 100 .*'>3'.*--types"):
        learn(open_source(path))
    summary, lines = learn(open_source(path, keeps_bad_rows=True), on_bad_row="skip")
    assert summary.rows == N_ROWS - 1
    assert any("1 of 240 cells are like '>3'" in line and "a bad row" in line for line in lines)


def test_identifiers_and_counters_are_named() -> None:
    """Nearly every row has its own word, or the next number."""
    rows = pa.table(columns(id=[f"u{i * 7919 % 100_003}" for i in range(N_ROWS)], n=[*range(N_ROWS)]))
    _, lines = learn(open_source(rows))
    for name in ("id", "n"):
        assert any(f"column '{name}' has 240 different values" in line and f"--ignore {name}" in line for line in lines)
    assert not any("'x'" in line for line in lines)


def test_features_that_never_vary_are_in_the_summary() -> None:
    """A number and a word; a column with two values is not among them."""
    summary, _ = learn(open_source(pa.table(columns(one=[1.5] * N_ROWS, word=["w"] * N_ROWS))))
    assert summary.quality["constant"] == ["one", "word"]


IDS = [f"{i:06}" for i in range(N_ROWS)]


@pytest.mark.parametrize("is_ignored", [False, True], ids=["learned", "ignored"])
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_copied_columns_are_as_written_after_any_resume(tmp_path: Path, kind: str, is_ignored: bool) -> None:
    """Leading zeros stay, and the parts of a stopped job are those of a job that ran on."""
    table = columns(id=IDS, price=MESSY["price"])
    path = tmp_path / f"rows.{kind}"
    if kind == "csv":
        write_csv(path, table)
    else:
        pq.write_table(pa.table(table), path, row_group_size=50)
    ignore = ["id"] if is_ignored else []
    found = []
    for name, stops in (("whole", [None]), ("stopped", [40, 136, None])):
        for stop in stops:
            summary, _ = learn(
                open_source(path, block_size=256),
                ignore=ignore,
                passthrough_columns=["id", "price"],
                max_rows=stop,
                run_dir=str(tmp_path / name),
                predictions_dir=str(tmp_path / f"{name}-p"),
            )
        predictions = pq.read_table(tmp_path / f"{name}-p")
        assert predictions["id"].to_pylist() == IDS
        assert predictions["price"].to_pylist() == MESSY["price"]
        found.append((summary.weights_sha256, predictions.sort_by("row")))
    assert found[0] == found[1]


def test_a_job_of_an_earlier_release_goes_on_copying_numbers(tmp_path: Path) -> None:
    """Its predictions keep one schema."""
    path = write_csv(tmp_path / "rows.csv", columns(id=IDS))
    settings = {
        "ignore": ["id"],
        "passthrough_columns": ["id"],
        "run_dir": str(tmp_path / "run"),
        "predictions_dir": str(tmp_path / "p"),
    }
    learn(open_source(path), max_rows=80, **settings)
    loaded = load(tmp_path / "run")
    mark = {key: value for key, value in loaded.snapshot.state["predictions"].items() if key != "as_written"}
    snapshot = loaded.snapshot
    object.__setattr__(snapshot, "state", {**snapshot.state, "predictions": mark})
    checkpoints.save(snapshot, loaded.path)
    learn(open_source(path), **settings)
    last = max((tmp_path / "p").glob("part-*"))
    assert pq.read_table(last)["id"].to_pylist()[-1] == N_ROWS - 1


def test_a_copy_has_the_notation_that_was_found(tmp_path: Path) -> None:
    """The declared type names none, and the column is learned too."""
    table = pa.table(columns(price=[f"${price}" for price in MESSY["price"]], id=IDS))
    _, lines = learn(
        open_source(table),
        types={"price": "number"},
        passthrough_columns=["price"],
        run_dir=str(tmp_path / "run"),
        predictions_dir=str(tmp_path / "p"),
    )
    assert pq.read_table(tmp_path / "p")["price"].to_pylist() == [float(i * 977 % 90_000) for i in range(N_ROWS)]
    assert any("column 'id' has 240 different values" in line for line in lines)


def test_declared_types_of_copies(tmp_path: Path) -> None:
    """A declared type holds for a copied column too."""
    path = write_csv(tmp_path / "rows.csv", columns(id=IDS, day=MESSY["day"]))
    learn(
        open_source(path),
        ignore=["id", "day"],
        passthrough_columns=["id", "day"],
        types={"id": "integer", "day": "date:%m/%d/%Y"},
        run_dir=str(tmp_path / "run"),
        predictions_dir=str(tmp_path / "p"),
    )
    schema = pq.read_table(tmp_path / "p").schema
    assert [schema.field(name).type for name in ("id", "day")] == [pa.int64(), pa.date32()]


@pytest.mark.parametrize(
    ("types", "words"),
    [
        ({"z": "number"}, "types: column 'z' is not in the source"),
        ({"x": "numbr"}, "types: expected COLUMN=TYPE"),
        ({"x": "date:%Q"}, "unknown directive %Q"),
        ({"x": "number:abc"}, "shows no number"),
    ],
)
def test_a_wrong_type_is_refused_by_name(types: dict[str, str], words: str) -> None:
    """Before a row is read."""
    with pytest.raises(ConfigError, match=words):
        learn(open_source(pa.table(columns())), types=types)


def test_types_are_split_where_the_next_column_begins() -> None:
    """A type may hold commas."""
    from stream_bp import JobConfig

    config = JobConfig.of({"target": "y", "types": "a=number:1,234.5,b=text,c=date:%b %d, %Y"})
    assert config.declared_types == {"a": "number:1,234.5", "b": "text", "c": "date:%b %d, %Y"}


def test_an_empty_beginning_is_searched_further(tmp_path: Path) -> None:
    """Words after more than a MiB of empty cells make a column of words."""
    n = 200_000
    path = tmp_path / "a.csv"
    rows = itertools.chain(("x,late,y\n",), (f"{i % 97},{'' if i < n else 'w'},{'ab'[i % 2]}\n" for i in range(n + 9)))
    path.write_text("".join(rows))
    assert path.stat().st_size > 1 << 20
    assert open_source(path).schema.field("late").type == pa.string()
    assert pacsv.read_csv(path).num_rows == n + 9


def test_a_header_of_data_and_quotes_of_another_kind_are_named(tmp_path: Path) -> None:
    """Nothing is lost in silence; a usual header says nothing."""
    (tmp_path / "a.csv").write_text(
        "red,0,yes\n" + "".join(f"{'red' if i % 2 else 'blue'},{i % 7},{'yes' if i % 3 else 'no'}\n" for i in range(90))
    )
    _, lines = learn(open_source(tmp_path / "a.csv"), "yes")
    assert any("the first line looks like data, not names: 'red' and '0'" in line for line in lines)
    (tmp_path / "b.csv").write_text("1,2\n" + "3,4\n5,6\n" * 40)
    assert any("'1' is a number" in line for line in open_source(tmp_path / "b.csv").remarks)
    (tmp_path / "c.csv").write_text('"x",y\n' + "'1','y'\n'2','n'\n" * 40)
    _, lines = learn(open_source(tmp_path / "c.csv"))
    assert [line for line in lines if "looks like data" in line] == []
    assert any("column 'x' has its cells in single quotes" in line and "--quote" in line for line in lines)
    assert open_source(tmp_path / "c.csv", quote="'").schema.field("x").type == pa.int64()


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("shape", "spec"),
    [("%d-%b-%y", "date:%d-%b-%y"), ("%Y-%m-%dT%H:%M:%S", "date:%Y-%m-%dT%H:%M:%S"), ("%d.%m.%Y", "date:%d.%m.%Y")],
)
def test_a_column_of_dates_with_some_words_is_named(tmp_path: Path, ending: str, shape: str, spec: str) -> None:
    """With the option that reads it; both ways out work."""
    days = [dt.datetime(2024, 1, 1) + dt.timedelta(days=i) for i in range(N_ROWS)]
    cells = columns(when=["#REF!" if i % 30 == 7 else day.strftime(shape) for i, day in enumerate(days)])
    path = tmp_path / f"rows.{ending}"
    if ending == "csv":
        write_csv(path, cells)
    else:
        pq.write_table(pa.table(cells), path)
    _, lines = learn(open_source(path))
    (line,) = [line for line in lines if "'when'" in line]
    assert f"--types when={spec}" in line
    source = open_source(path, null_values=["#REF!"])
    _, lines = learn(source, null_values=["#REF!"], types={"when": spec})
    assert not [line for line in lines if "categories" in line]
    summary, _ = learn(open_source(path, keeps_bad_rows=True), types={"when": spec}, on_bad_row="skip")
    assert summary.quality["bad_rows"] == {"type": N_ROWS // 30}


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_a_late_fraction_among_whole_numbers_names_the_type(tmp_path: Path, ending: str) -> None:
    """It is no new class; and the option that is named reads it."""
    pad, n_rows = "p" * 100, 12_000
    y = [i % 3 if i < n_rows - 1 else 0.5 for i in range(n_rows)]
    path = tmp_path / f"rows.{ending}"
    if ending == "csv":
        path.write_text("pad,y\n" + "".join(f"{pad},{value}\n" for value in y))
    else:
        path.write_text("".join(f'{{"pad": "{pad}", "y": {value}}}\n' for value in y))
    with pytest.raises(RowError, match=r"column 'y': expected int64, found '?0.5.*; --types y=number reads fractions"):
        learn(open_source(path))
    summary, _ = learn(open_source(path), types={"y": "number"})
    assert (summary.task, summary.rows) == ("regression", n_rows)


def test_an_option_is_written_as_a_shell_takes_it(tmp_path: Path) -> None:
    """Names and formats with blanks are in quotes."""
    days = [f"{1 + i % 28:02} Jan 2024" if i % 30 != 7 else "#REF!" for i in range(N_ROWS)]
    cells: dict[str, list[Any]] = {**columns(), "my day": days, "Unnamed: 0": list(range(N_ROWS))}
    _, lines = learn(open_source(write_csv(tmp_path / "rows.csv", cells)))
    assert any("--types 'my day=date:%d %b %Y'" in line for line in lines)
    assert any("--ignore 'Unnamed: 0'" in line for line in lines)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"types": ["x=text", "x=number"]}, "types declares 'x' twice"),
        ({"types": ["x=text"], "categorical": ["x"]}, "both declare 'x'"),
        ({"types": ["x=foo"]}, "expected COLUMN=TYPE, such as price=number, found 'x=foo'"),
        ({"types": ["x=date:%Q"]}, "unknown directive %Q"),
    ],
)
def test_a_wrong_type_is_one_line(settings: dict[str, Any], words: str) -> None:
    """It says what is wrong before anything is read."""
    with pytest.raises(ConfigError, match=words) as caught:
        learn(pa.table(columns()), **settings)
    assert "\n" not in str(caught.value)


TWO_WAYS = [
    (["007", "1.5"], "leading zeros"),
    (["00.5", "1.5"], "leading zeros"),
    (["1.1", "1.2", "1.10"], "1.1 and 1.10 are equal"),
    (["1.10", "1.20"], ""),
    (["0.5", "-0.25", "0", "1e-05"], ""),
    (["1.12345", "1.123450"], ""),
]


@pytest.mark.parametrize(("cells", "words"), TWO_WAYS)
def test_numbers_that_are_written_in_two_ways_are_named(tmp_path: Path, cells: list[str], words: str) -> None:
    """They may be codes or versions, which differ as text."""
    source = open_source(write_csv(tmp_path / "a.csv", {"code": cells * 9, "y": ["a"] * len(cells) * 9}))
    line = source.type_warnings.get("code", "")
    assert source.schema.field("code").type == pa.float64()
    assert (words in line and "--types code=text" in line) if words else not line


def test_dates_and_moments_with_words_among_them_are_named(tmp_path: Path) -> None:
    """No single format fits them all."""
    cells = ["2024-05-06", "2024-05-06 07:08:09", "2024-05-07T07:08Z", "n.a."]
    source = open_source(write_csv(tmp_path / "a.csv", {"when": cells, "y": ["a"] * 4}))
    assert source.schema.field("when").type == pa.string()
    assert "75% of its cells are dates; others are like 'n.a.'" in source.type_warnings["when"]
