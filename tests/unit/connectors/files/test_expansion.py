"""Places with folders, links and tables in them."""

import os
import socket
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from connectors import Follow, SourceError, open_source
from connectors.files.tables import table_among


def tree(folder: Path, *names: str) -> Path:
    """Write CSV files of one row, the number of the file, and return the folder."""
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"x\n{number}\n")
    return folder


def names(place: object, root: Path, **settings: object) -> list[str]:
    """Return the files of a place, within a folder."""
    return [str(Path(path).relative_to(root)) for path in open_source(str(place), **settings).paths]  # type: ignore[arg-type]


SPARK = ("day1.csv/part-0.csv", "day1.csv/part-1.csv", "day1.csv/_SUCCESS", "day1.csv/.part-0.csv.crc")


def test_a_folder_of_folders_is_read_in_the_order_of_paths(tmp_path: Path) -> None:
    """Spark writes a folder for each file; names that begin with . or _ are not data, of folders too."""
    hidden = ("_temporary/0/a.csv", ".ipynb_checkpoints/a.csv", "day1.csv/_delta/x.csv")
    tree(tmp_path, "z.csv", "b/c/d.csv", "b.csv", "a/e.csv", *SPARK, *hidden)
    spark = ["day1.csv/part-0.csv", "day1.csv/part-1.csv"]
    whole = ["a/e.csv", "b.csv", "b/c/d.csv", *spark, "z.csv"]
    assert names(tmp_path, tmp_path) == whole
    assert names(f"{tmp_path}/", tmp_path) == whole
    for pattern in ("**", "**/", "**/*", "*", "**/*.csv"):
        assert names(tmp_path / pattern if pattern != "**/" else f"{tmp_path}/**/", tmp_path) == whole, pattern
    assert names(tmp_path / "day1.csv", tmp_path) == spark
    assert names(tmp_path / "*.csv", tmp_path) == ["b.csv", *spark, "z.csv"]
    assert names(tmp_path / "b" / "**" / "*.csv", tmp_path) == ["b/c/d.csv"]
    assert names(tmp_path / "[ab]" / "*", tmp_path) == ["a/e.csv", "b/c/d.csv"]
    assert names(tmp_path / "?" / "c" / "d.csv", tmp_path) == ["b/c/d.csv"]


def test_relative_places_keep_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names are as the user wrote them; the home folder is found."""
    monkeypatch.chdir(tree(tmp_path, "a.csv", "b/c.csv"))
    for place in (".", "*", "**", "./*", "**/*.csv"):
        assert names(place, tmp_path) == ["a.csv", "b/c.csv"], place
    assert open_source("*.csv").description == "a.csv"
    assert open_source("./*.csv").description == "./a.csv"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert names("~/b", tmp_path) == ["b/c.csv"]


def test_a_link_without_a_target_is_named_with_it(tmp_path: Path) -> None:
    """In a folder, in a pattern and alone; if it is not data, it does not matter."""
    tree(tmp_path, "a.csv")
    (tmp_path / "notes").symlink_to("nowhere")
    assert names(tmp_path, tmp_path) == ["a.csv"]
    (tmp_path / "gone.csv").symlink_to("old/gone.csv")
    for place in (tmp_path, tmp_path / "*.csv", tmp_path / "**" / "gone.csv", tmp_path / "gone.csv"):
        with pytest.raises(SourceError, match=r"gone\.csv: a link to 'old/gone\.csv', which does not exist"):
            open_source(place)
    (tmp_path / "gone.csv").unlink()
    (tmp_path / "self.csv").symlink_to("self.csv")
    with pytest.raises(SourceError, match=r"self\.csv: a link to 'self\.csv'"):
        open_source(tmp_path)


def test_links_to_folders_are_followed_but_nothing_is_read_twice(tmp_path: Path) -> None:
    """A link to another place is read; a loop, or a link within the place, is skipped with a remark."""
    elsewhere = tree(tmp_path / "elsewhere", "b.csv")
    (elsewhere / "loop").symlink_to(elsewhere)
    root = tree(tmp_path / "root", "2024/a.csv", "_kept/c.csv")
    (root / "latest").symlink_to("2024")
    (root / "loop").symlink_to(".")
    (root / "other").symlink_to(elsewhere)
    (root / "shown").symlink_to("_kept")
    for place in (root, root / "**" / "*.csv"):
        source = open_source(place)
        assert [path.removeprefix(f"{root}/") for path in source.paths] == ["2024/a.csv", "other/b.csv", "shown/c.csv"]
        skipped = ["latest", "loop", "other/loop"]
        said = [f"{root}/{name}: this link leads to a folder of the same place, and is skipped" for name in skipped]
        assert list(source.remarks) == said
    assert names(root / "latest", root) == ["latest/a.csv"]


def test_special_files_are_skipped_and_unreadable_folders_are_named(tmp_path: Path) -> None:
    """A pipe or a socket in a folder would never end."""
    tree(tmp_path, "a.csv")
    os.mkfifo(tmp_path / "pipe.csv")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s.csv"))
        source = open_source(tmp_path)
    assert source.remarks == tuple(f"{tmp_path}/{n}.csv: not a regular file, and skipped" for n in ("pipe", "s"))
    (tmp_path / "secret").mkdir(mode=0o000)
    if not os.access(tmp_path / "secret", os.R_OK):  # root may read everything
        with pytest.raises(SourceError, match=r"secret: permission denied"):
            open_source(tmp_path)


def test_a_folder_without_data_says_what_it_has(tmp_path: Path) -> None:
    """The first names are a hint to the right place or format."""
    for n in range(7):
        (tmp_path / f"{n}.xlsx").write_text("")
    with pytest.raises(SourceError, match=r"no data file there, only 0\.xlsx, .*, 4\.xlsx and 2 more; supported: \."):
        open_source(tmp_path)


def test_the_output_of_the_job_is_not_its_input(tmp_path: Path) -> None:
    """A run folder may lie in the folder of the data."""
    tree(tmp_path, "a.csv", "run/predictions/p.csv")
    assert names(tmp_path, tmp_path, exclude=[str(tmp_path / "run")]) == ["a.csv"]
    assert names(tmp_path / "**" / "*.csv", tmp_path, exclude=[str(tmp_path / "run")]) == ["a.csv"]
    source = open_source(tmp_path, exclude=[str(tmp_path / "run")], follow=Follow(idle_timeout_s=0.1))
    with source.open(source.schema) as reader:
        assert [row["x"] for block in reader for row in block.records.to_pylist()] == [0]


def test_the_folder_of_another_run_is_skipped(tmp_path: Path) -> None:
    """Its history is CSV; named directly or by a pattern it is read."""
    tree(tmp_path, "a.csv", "run/history.csv", "run/checkpoints/1.safetensors")
    source = open_source(tmp_path)
    assert [Path(path).name for path in source.paths] == ["a.csv"]
    assert source.remarks == (f"{tmp_path}/run: the folder of a run, and skipped; name its files to read them",)
    assert names(tmp_path / "*" / "history.csv", tmp_path) == names(tmp_path / "run", tmp_path) == ["run/history.csv"]


LOGS = {
    "Delta": "_delta_log/00000000000000000000.json",
    "Iceberg": "metadata/v1.metadata.json",
    "Hudi": ".hoodie/hoodie.properties",
}


@pytest.mark.parametrize("kind", LOGS)
def test_tables_are_refused_by_name(tmp_path: Path, kind: str) -> None:
    """By folder, parent folder, pattern, partition, and when followed; a file alone is the user's decision."""
    folder = tmp_path / "all" / "sales"
    for name in (LOGS[kind], "data/year=2023/a.parquet", "data/b.parquet"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"x": [1]}), folder / name)
    places = ["all", "all/sales", "all/sales/", "all/sales/data", "all/sales/data/year=2023", "all/*", "all/sales/*"]
    for place in (*places, "all/**/*.parquet", "*/*/data/*.parquet", "all/sales/data/*.parquet"):
        with pytest.raises(
            SourceError, match=rf"all/sales: an? {kind} table: .*export it to Parquet.*all/sales'"
        ) as caught:
            open_source(f"{tmp_path}/{place}")
        assert "\n" not in str(caught.value)
    with pytest.raises(SourceError, match=f"{kind} table"):
        open_source(folder, follow=Follow(idle_timeout_s=0.1))
    (remark,) = [line for line in open_source(folder / "data" / "b.parquet").remarks if "table" in line]
    assert f"{kind} table is named directly" in remark
    assert table_among([f"s3://b/sales/{LOGS[kind]}"]) == ("s3://b/sales", kind)


def test_a_folder_named_metadata_is_not_yet_a_table(tmp_path: Path) -> None:
    """The control: only the files in it tell."""
    assert names(tree(tmp_path, "metadata/a.csv", "data/b.csv"), tmp_path) == ["data/b.csv", "metadata/a.csv"]
    assert table_among(["s3://b/metadata/a.csv", "s3://b/data/metadata.json"]) is None
