"""The page of a report: one HTML file without dependencies. Only this module uses Jinja.

All text from data is escaped: by Jinja in the page, as JSON that cannot close its element in the figures, and by
:mod:`stream_bp.report.plotting` for plotly, which interprets tags. As a second defence, the policy of the page allows
only its two scripts, and no network.
"""

import base64
import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

import stream_bp
from stream_bp._arrays import Floats
from stream_bp.errors import ConfigError, DiskError
from stream_bp.report.comparison_plots import compare
from stream_bp.report.plotting import Axis, Plot, library
from stream_bp.report.run import Record
from stream_bp.report.run_plots import axes_of, draw
from stream_bp.report.tables import facts, grids, side_by_side, told_moment
from stream_bp.report.verdict import verdict

__all__ = ["MARK", "as_json", "document", "policy", "refuse_foreign", "save", "tell"]

MARK = b'<meta name="generator" content="stream-bp report">'
"""A text in the first bytes of every page. Only a file with this text is overwritten."""

_BADGES = {"ahead": "▲ better", "even": "● no better", "behind": "▼ worse", "early": "… too early"}
_GROUPS = {
    "score": "Does it learn?",
    "learning": "How it learns",
    "data": "The data",
    "process": "The process",
}


def tell(records: Sequence[Record], *, tag: str = "", again_s: float = 0.0) -> dict[str, Any]:
    """Return the content of a page.

    Parameters
    ----------
    records
        One run, or several to compare.
    tag
        A name for this state of the runs.
    again_s
        Seconds between two refreshes of the page; 0 for none.

    Returns
    -------
    dict
        The values for the templates, and ``content``: the JSON of the figures, which a page fetches at a refresh.

    Raises
    ------
    ConfigError
        If the runs have no score in common.
    """
    told = _of_one(records[0]) if len(records) == 1 else _of_several(records)
    plots, axes = told.pop("plots"), told.pop("axes")
    unit, divisor = _unit(axes)
    if len(records) == 1:
        unit, divisor = "time (UTC)", 1
    has_time = any(not math.isnan(value) for axis in axes.values() for value in axis.time)
    told |= {
        "groups": [
            {"id": id_, "title": title, "plots": [plot for plot in plots if plot.group == id_]}
            for id_, title in _GROUPS.items()
        ],
        "made": told_moment(records[0].read_at),
        "version": stream_bp.__version__,
        "troubles": [record.trouble for record in records if record.trouble],
        "has_time": has_time,
    }
    parts = _environment().get_template("parts.html").module
    told["content"] = {
        "tag": tag,
        "again_s": again_s,
        "has_time": has_time,
        "time_type": "date" if len(records) == 1 else "linear",
        "time_title": unit,
        "axes": {
            name: {"rows": _numbers(axis.rows, 0), "time": _numbers(axis.time / divisor, 0 if divisor == 1 else 4)}
            for name, axis in axes.items()
        },
        "plots": [_json_plot(plot) for plot in plots],
    }
    if again_s:
        for plot, content in zip(plots, told["content"]["plots"], strict=True):
            content["html"] = str(parts.figure(plot))  # type: ignore[attr-defined]
        told["content"]["title"] = told["title"]
        told["content"]["summary"] = str(parts.summary(told))  # type: ignore[attr-defined]
        told["content"]["tables"] = str(parts.tables(told["grids"]))  # type: ignore[attr-defined]
    return told


def document(told: dict[str, Any]) -> bytes:
    """Return the page in UTF-8, from the result of :func:`tell`."""
    template = _environment().get_template("report.html")
    is_live = told["content"]["again_s"] > 0
    return template.render(
        told=told,
        is_live=is_live,
        policy=policy(is_live=is_live),
        plotly=_plotly(),
        script=_file("report.js"),
        style=_file("report.css"),
    ).encode("utf-8", "backslashreplace")  # a file name may have any bytes


def policy(*, is_live: bool) -> str:
    """Return the content policy: the page may run its two scripts, and may fetch from its own server, if it has one."""
    connecting = "'self'" if is_live else "'none'"
    hashes = " ".join(f"'sha256-{_digest(script)}'" for script in (_plotly(), _file("report.js")))
    # Inline styles cannot be forbidden, since plotly sets them.
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; font-src data:; "
        f"connect-src {connecting}; base-uri 'none'; form-action 'none'"
    )


def refuse_foreign(path: Path) -> None:
    """Refuse to overwrite a file that is not a report.

    Raises
    ------
    ConfigError
        If the path is not a file, or the file is neither empty nor a report.
    DiskError
        If it cannot be read.
    """
    try:
        if path.exists() and not path.is_file():
            raise ConfigError(f"{path} is not a file; name another file with --output")
        with path.open("rb") as file:
            head = file.read(1024)
    except FileNotFoundError:
        return
    except OSError as error:
        raise DiskError(f"cannot read {path}: {error.strerror}") from error
    if head and MARK not in head:
        raise ConfigError(f"{path} is not a report, so it is not overwritten; name another file with --output")


def save(path: Path, content: bytes) -> None:
    """Write a page in one step, so that a reader never sees half of it.

    Parameters
    ----------
    path
        The file. An existing report is replaced.
    content
        The page.

    Raises
    ------
    ConfigError
        As in :func:`refuse_foreign`.
    DiskError
        If it cannot be written. An existing report is then unchanged.
    """
    refuse_foreign(path)
    place = path.resolve()  # the target of a link, not the link
    # In the same folder, since a file can be replaced in one step only within one file system.
    temporary = place.with_name(f".{place.name}.tmp-{os.getpid()}")
    try:
        try:
            with temporary.open("xb") as file:
                file.write(content)
            temporary.replace(place)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise DiskError(f"cannot write {path}: {error.strerror}") from error


def as_json(told: dict[str, Any]) -> bytes:
    """Return the JSON that a page fetches at a refresh."""
    return str(htmlsafe_json_dumps(told["content"])).encode("utf-8", "backslashreplace")


def _of_one(record: Record) -> dict[str, Any]:
    found = verdict(record)
    target = record.saved.content["config"]["target"] if record.saved is not None else []
    of = f" of {', '.join(target)}" if target else ""
    return {
        "title": f"{record.name}: {found.title}",
        "eyebrow": f"{record.name} · {record.task}{of}",
        "headline": found.title,
        "verdicts": [{"kind": found.kind, "badge": _BADGES[found.kind], "text": found.text}],
        "facts": facts(record),
        "is_comparison": False,
        "plots": draw(record),
        "axes": axes_of(record),
        "grids": grids(record),
    }


def _of_several(records: Sequence[Record]) -> dict[str, Any]:
    tasks = {record.task: record.name for record in records}
    if len(tasks) > 1:
        told = " and ".join(f"{name} is a {task}" for task, name in tasks.items())
        raise ConfigError(f"{told}: they have no score in common; create one report for each")
    plots, axes = compare(records)
    found = [(record.name, verdict(record)) for record in records]
    return {
        "title": " · ".join(record.name for record in records),
        "eyebrow": f"stream-bp report · {records[0].task}",
        "headline": f"{len(records)} runs side by side",
        "verdicts": [
            {"kind": one.kind, "badge": _BADGES[one.kind], "text": f"{name}: {one.title}."} for name, one in found
        ],
        "facts": [],
        "is_comparison": True,
        "plots": plots,
        "axes": axes,
        "grids": [side_by_side(records)],
    }


def _json_plot(plot: Plot) -> dict[str, Any]:
    figure = json.loads(plot.figure.to_json())
    figure["layout"].pop("template", None)
    return {"id": plot.id, "group": plot.group, "axis": plot.axis, "is_wide": plot.is_wide, "figure": figure}


def _unit(axes: Mapping[str, Axis]) -> tuple[str, int]:
    """Return a suitable unit for the time since the start of a run, and its length in ms."""
    longest = max((float(np.nanmax(axis.time)) for axis in axes.values() if not np.isnan(axis.time).all()), default=0.0)
    for name, length in (("days", 86_400_000), ("hours", 3_600_000), ("minutes", 60_000)):
        if longest >= 3 * length:
            return f"{name} since the start of each run", length
    return "seconds since the start of each run", 1000


def _numbers(values: Floats, n_digits: int) -> list[float | None]:
    rounded = (round(float(value), n_digits) if math.isfinite(value) else None for value in values)
    return [int(value) if value is not None and value == int(value) else value for value in rounded]


@cache
def _environment() -> jinja2.Environment:
    loader = jinja2.PackageLoader("stream_bp.report")
    return jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)


@cache
def _file(name: str) -> Markup:
    return Markup(files("stream_bp.report").joinpath("templates", name).read_text("utf-8"))  # noqa: S704 - ours, not data's


@cache
def _plotly() -> Markup:
    return Markup(library())  # noqa: S704 - the library's


@cache
def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
