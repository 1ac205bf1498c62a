"""Predict, evaluate, compare and inspect on text with a dialect of its own, and with rows that cannot be read."""

import json
from pathlib import Path
from typing import Any

import pytest

from connectors import Follow, open_source
from stream_bp.job.job import Job
from stream_bp.job.observer import Observer
from stream_bp.river import MLPClassifier
from tests.unit.cli.test_app import run

BAD = {20: "1;2", 40: "word;1;a", 60: '1;2;"stray"quote', 120: "nul;\0;b"}
SKIP = ["--on-bad-row", "skip"]


def write(path: Path, bad: dict[int, str] | None = None, encoding: str = "utf-8") -> Path:
    """Write 120 rows with semicolons, and what is no row before some of them and behind the last."""
    lines = ["größe;y;label"]
    for i in range(121):
        lines += [line for at, line in (bad or {}).items() if at == i]
        lines += [f"{i};{i % 7};{'ab'[i % 2]}"] if i < 120 else []
    path.write_text("\n".join(lines) + "\n", encoding=encoding)
    return path


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Make a folder with good rows, rows with bad ones among them, and a job that leaves such out."""
    write(tmp_path / "good.csv")
    write(tmp_path / "bad.csv", BAD)
    write(tmp_path / "utf16.csv", encoding="utf-16")
    train = ["train", "bad.csv", "--target", "label", "--batch-size", "8", "--run-dir", "run", "--delimiter", ";"]
    assert run(*train, "--on-bad-row", "quarantine", "--max-bad-rows", "10", cwd=tmp_path).returncode == 0
    return tmp_path


def score(*arguments: str, place: Path) -> dict[str, Any]:
    """Evaluate, and return the result."""
    done = run("evaluate", *arguments, "--json", cwd=place)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_rows_are_read_as_the_job_read_them(place: Path) -> None:
    """Bad rows are left out and counted, as the job did; the score and the predictions are those of the good ones."""
    good, bad = score("run", "good.csv", place=place), score("run", "bad.csv", place=place)
    assert (good["rows"], good["bad_rows"]) == (120, {})
    assert (bad["rows"], bad["bad_rows"]) == (120, {"fields": 1, "type": 1, "quotes": 1, "nul": 1})
    assert bad["metrics"] == good["metrics"]
    said = [run("predict", "run", f"{name}.csv", "--output", f"{name}-p.csv", cwd=place) for name in ("good", "bad")]
    assert (place / "good-p.csv").read_bytes() == (place / "bad-p.csv").read_bytes()
    assert said[0].stderr.splitlines() == ["120 predictions in good-p.csv"]
    assert said[1].stderr.splitlines() == [
        "120 predictions in bad-p.csv",
        "bad rows (not learned): fields 1, nul 1, quotes 1, type 1",
    ]
    evaluated = run("evaluate", "run", "bad.csv", cwd=place).stdout
    assert "bad rows (not learned): fields 1, nul 1, quotes 1, type 1" in evaluated


def test_flags_overrule_the_job(place: Path) -> None:
    """Another delimiter and another encoding are read; a bad row is an error again; a wrong word is one line."""
    commas = place / "commas.csv"
    commas.write_text((place / "good.csv").read_text().replace(";", ","))
    expected = score("run", "good.csv", place=place)["metrics"]
    assert score("run", "commas.csv", "--delimiter", ",", place=place)["metrics"] == expected
    assert score("run", "utf16.csv", "--encoding", "utf-16", place=place)["metrics"] == expected
    assert run("evaluate", "run", "commas.csv", cwd=place).returncode != 0
    predict = ["predict", "run", "bad.csv", "--output", "p.csv"]
    for arguments in (predict, ["evaluate", "run", "bad.csv"]):
        done = run(*arguments, "--on-bad-row", "error", cwd=place)
        assert done.returncode == 1
        assert "bad.csv, row 20 (line 22)" in done.stderr
        for word, words in (("skp", "did you mean 'skip'?"), ("quarantine", "choose error or skip")):
            done = run(*arguments, "--on-bad-row", word, cwd=place)
            assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
            assert words in done.stderr
    assert not (place / "p.csv").exists()


def test_words_for_nothing_and_a_decimal_comma_are_the_jobs(tmp_path: Path) -> None:
    """What was said of text when it was learned is true of what is predicted, scored and compared; or said anew."""
    lines = [f"{i % 9},25;{'ab'[i % 2]};{'no' if i % 9 > 4 else 'yes'}" for i in range(120)]
    lines[3:3] = ["?;\\N;no", "-9999;?;?"] * 3
    (tmp_path / "rows.csv").write_text("\n".join(["x;w;label", *lines, ""]))
    usual = "\n".join(["x;w;label", *lines, ""]).replace(",", ".")
    for word in ("?", "\\N", "-9999"):
        usual = usual.replace(word, "")
    (tmp_path / "usual.csv").write_text(usual)
    as_written = ["--null-values", "?,\\N", "--null-values", "-9999", "--decimal", ","]
    as_usual = ["--null-values", "", "--decimal", "."]
    train = ["--target", "label", "--batch-size", "8"]
    for name, options in (("rows", as_written), ("usual", [])):
        done = run("train", f"{name}.csv", *train, "--run-dir", name, *options, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert run("resume", name, cwd=tmp_path).returncode == 0
    assert "x (number), w (string)" in run("inspect", "rows", cwd=tmp_path).stdout
    assert inspected("rows", tmp_path)["weights_sha256"] == inspected("usual", tmp_path)["weights_sha256"]
    assert score("rows", "rows.csv", place=tmp_path) == score("rows", "usual.csv", *as_usual, place=tmp_path)
    metrics = score("usual", "rows.csv", *as_written, place=tmp_path)["metrics"]
    assert score("rows", "rows.csv", place=tmp_path)["metrics"] == metrics
    predicted = [
        run("predict", *arguments, "--output", f"{name}-p.csv", cwd=tmp_path).returncode
        for name, arguments in (("rows", ["rows", "rows.csv"]), ("usual", ["rows", "usual.csv", *as_usual]))
    ]
    assert predicted == [0, 0]
    assert (tmp_path / "rows-p.csv").read_bytes() == (tmp_path / "usual-p.csv").read_bytes()
    other = run("train", "rows.csv", *train, "--run-dir", "rows", "--null-values", "?", cwd=tmp_path)
    assert other.returncode == 3
    assert "null_values is ? here and ?,\\N,-9999 there" in other.stderr
    compare = ["--target", "label", "--models", "mlp", "--json"]
    compared = [
        json.loads(run("compare", f"{name}.csv", *compare, *options, cwd=tmp_path).stdout)["scores"][0]["metrics"]
        for name, options in (("rows", as_written), ("usual", []))
    ]
    assert compared[0] == compared[1]


def test_a_column_without_a_name_is_a_column(tmp_path: Path) -> None:
    """It is learned if a setting names it, and must be there then; or left out, and may be there or not."""
    lines = [f"{i % 9},{'no' if i % 9 > 4 else 'yes'}" for i in range(120)]
    (tmp_path / "with.csv").write_text("\n".join([",x,label", *(f"{i},{line}" for i, line in enumerate(lines)), ""]))
    (tmp_path / "without.csv").write_text("\n".join(["x,label", *lines, ""]))
    train = ["train", "with.csv", "--target", "label", "--batch-size", "8"]
    named = ["--features", "column 1", "--features", "x"]
    for options in (["--run-dir", "all", *named], ["--run-dir", "some"]):
        done = run(*train, *options, "--max-rows", "48", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        done = run(*train, *options, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "120 rows in 15 minibatches" in done.stdout
    assert "features: column 1 (number), x (number)" in run("inspect", "all", cwd=tmp_path).stdout
    assert "features: x (number)" in run("inspect", "some", cwd=tmp_path).stdout
    assert score("all", "with.csv", place=tmp_path)["rows"] == 120
    scores = [score("some", f"{name}.csv", place=tmp_path)["metrics"] for name in ("with", "without")]
    assert scores[0] == scores[1]
    for name in ("with", "without"):
        predict = ["predict", "some", f"{name}.csv", "--output", f"{name}-p.csv"]
        assert run(*predict, cwd=tmp_path).returncode == 0
    assert (tmp_path / "with-p.csv").read_bytes() == (tmp_path / "without-p.csv").read_bytes()
    done = run("evaluate", "all", "without.csv", cwd=tmp_path)
    assert done.returncode == 1
    assert "without.csv: no column 'column 1'" in done.stderr


class Notes(Observer):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def on_message(self, line: str) -> None:
        """Keep it."""
        self.lines.append(line)


@pytest.mark.parametrize("follow", [None, Follow(idle_timeout_s=0.1)], ids=["whole", "followed"])
def test_what_may_be_no_category_is_said_once(tmp_path: Path, follow: Follow | None) -> None:
    """A line for each column that is learned, when its job begins; none for what somebody said what it is."""
    path = tmp_path / "a.csv"
    header = ",half,few,ids,gap,label\n"
    rows = [
        (
            7 * i % 50,
            i if i % 2 else "n.k.",
            i if i % 5 == 0 else "word",
            i if i % 3 else "?",
            i if i % 3 else "NA",
            "ab"[i % 2],
        )
        for i in range(120)
    ]
    path.write_text(header + "".join(",".join(map(str, row)) + "\n" for row in rows))
    expected = {
        "column 1": "column 'column 1' has no name; if it holds row numbers, leave it out: --ignore 'column 1'",
        "half": "column 'half' is read as categories, but 50% of its cells are numbers; others are like 'n.k.' "
        f"({path}); add such words to --null-values, or declare the column: --types half=number",
        "ids": "column 'ids' is read as categories, but 67% of its cells are numbers; others are like '?' "
        f"({path}); add such words to --null-values, or declare the column: --types ids=number",
    }

    def said(source: dict[str, Any], **settings: Any) -> list[str]:
        notes = Notes()
        open_ = open_source(path, follow=follow, **source)
        Job(open_, target="label", observer=notes, follow=follow is not None, **source, **settings).run()
        return [line for line in notes.lines if line.startswith("column ")]

    run_dir = {"run_dir": str(tmp_path / "run")}
    assert said({}, max_rows=64, **run_dir) == list(expected.values())
    assert said({}, **run_dir) == []
    assert said({}, ignore=("column 1", "half")) == [expected["ids"]]
    assert said({}, categorical="ids", features=("half", "ids")) == []
    assert said({"null_values": ("?",)}) == [expected["column 1"], expected["half"]]


def test_a_first_column_that_has_a_name_is_not_said_to_have_none(tmp_path: Path) -> None:
    """Whatever it is called."""
    for name in ("column 1", '"column 1"', '",a"'):
        (tmp_path / "a.csv").write_text(f"{name},b\n1,2\n1,2\n")
        assert open_source(tmp_path / "a.csv").type_warnings == {}
    (tmp_path / "a.csv").write_text('" ",b\n1,2\n1,2\n')
    assert list(open_source(tmp_path / "a.csv").type_warnings) == ["column 1"]


def inspected(run_dir: str, place: Path) -> dict[str, Any]:
    """Return what a checkpoint holds."""
    content: dict[str, Any] = json.loads(run("inspect", run_dir, "--json", cwd=place).stdout)
    return content


def test_a_job_that_ends_at_bad_rows_can_be_told_to_skip_them(place: Path) -> None:
    """And where nothing but such is there, that is said."""
    train = ["train", "good.csv", "--target", "label", "--run-dir", "strict", "--batch-size", "8"]
    assert run(*train, cwd=place).returncode == 0
    assert run("evaluate", "strict", "bad.csv", cwd=place).returncode == 1
    assert score("strict", "bad.csv", *SKIP, place=place)["bad_rows"]["fields"] == 1
    (place / "none.csv").write_text("größe;y;label\n1;2\n1;2\n")
    for command in (["evaluate", "run", "none.csv"], ["predict", "run", "none.csv", "--output", "p.csv"]):
        done = run(*command, cwd=place)
        assert done.returncode == 1
        assert "none.csv: no row could be read, 2 are bad (fields)" in done.stderr


def test_a_model_without_a_job_reads_as_it_is_told(place: Path) -> None:
    """An estimator saves no dialect: the header tells, and a bad row is an error."""
    model = MLPClassifier()
    for i in range(50):
        model.learn_one({"größe": float(i), "y": float(i % 7)}, "ab"[i % 2])
    model.save(place / "model.safetensors")
    predict = ["predict", "model.safetensors", "bad.csv", "--output", "p.csv"]
    assert run(*predict, cwd=place).returncode == 1
    assert "120 predictions" in run(*predict, *SKIP, cwd=place).stderr


def test_models_are_compared_on_the_rows_that_can_be_read(place: Path) -> None:
    """The same rows for each, counted once; without a word about bad rows, or with too many, the first one ends it."""
    compare = ["compare", "bad.csv", "--target", "label", "--models", "mlp,logistic"]
    compared = json.loads(run(*compare, *SKIP, "--json", cwd=place).stdout)
    assert [score["rows"] for score in compared["scores"]] == [120, 120]
    assert compared["bad_rows"] == {"fields": 1, "type": 1, "quotes": 1, "nul": 1}
    assert "bad rows (not learned): fields 1, nul 1, quotes 1, type 1" in run(*compare, *SKIP, cwd=place).stdout
    clean = json.loads(run("compare", "good.csv", *compare[2:], "--json", cwd=place).stdout)
    assert [score["metrics"] for score in compared["scores"]] == [score["metrics"] for score in clean["scores"]]
    assert clean["bad_rows"] == {}
    for options, code, words in (
        ([], 1, "bad.csv, row 20 (line 22)"),
        ([*SKIP, "--max-bad-rows", "2"], 1, "bad row number 3, more than --max-bad-rows allows"),
        (["--on-bad-row", "quarantine"], 2, "a comparison has no run directory to keep bad rows in"),
    ):
        done = run(*compare, *options, cwd=place)
        assert done.returncode == code, done.stderr
        assert words in done.stderr


def test_a_checkpoint_shows_what_its_job_counted(place: Path) -> None:
    """In the object and in words: what was missing, clipped, without target, skipped, and bad before its last row."""
    write(place / "gaps.csv", {20: "1;2", 30: ";1;a", 31: "1;;", 110: "1000000;1;b"})
    train = ["train", "gaps.csv", "--target", "label", "--run-dir", "gaps", "--missing", "drop-row", *SKIP, "--json"]
    quality = json.loads(run(*train, cwd=place).stdout)["quality"]
    content = json.loads(run("inspect", "gaps", "--json", cwd=place).stdout)
    assert content["quality"] == quality
    assert quality == {
        "missing": {"größe": 1, "y": 1},
        "clipped_values": {"größe": 1},
        "constant": [],
        "rows_without_target": {},
        "skipped": 2,
        "bad_rows": {"fields": 1},
        "unused_null_values": [],
    }
    said = run("inspect", "gaps", cwd=place).stdout
    for words in ("missing values: größe 1, y 1", "bad rows (not learned): fields 1", "since a feature was missing: 2"):
        assert words in said
