"""The pages of the reference that are made from the code, so that each fact is written once."""

import importlib
import inspect
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

import typer

import connectors.errors
import stream_bp.errors
from stream_bp.cli.app import app
from stream_bp.cli.exit_codes import exit_codes
from stream_bp.config.fields import choices_of
from stream_bp.config.job import IDENTITY, JobConfig
from stream_bp.config.monitoring import Watching
from stream_bp.job.events import EVENTS
from stream_bp.job.history import COLUMNS
from stream_bp.persistence.decision_log import KINDS
from stream_bp.persistence.run_files import RUN_FILES

__all__ = ["PUBLIC", "commands", "group", "pages"]

PUBLIC = (
    "stream_bp",
    "stream_bp.river",
    "stream_bp.metrics",
    "stream_bp.drift",
    "stream_bp.nn",
    "stream_bp.errors",
    "connectors",
    "connectors.contract",
    "connectors.errors",
    "connectors.schemas",
)
"""The modules that have a page of the Python reference."""

_DEFAULT = re.compile(r"\s*\[default: ([^\]]*)\]")
_BAR = r"\|"
_TYPES = {"str": "text", "int": "whole number", "float": "number", "bool": "switch"}


def pages() -> dict[str, str]:
    """Return the pages, by their paths in the site."""
    found = {
        "reference/command-line.md": _command_line,
        "reference/configuration.md": _configuration,
        "reference/run-directory.md": _run_directory,
        "reference/metrics.md": _metrics,
        "reference/exit-codes.md": _exit_codes,
        "reference/errors.md": _errors,
    }
    made = {path: "\n".join(lines()) + "\n" for path, lines in found.items()}
    for module in PUBLIC:
        made[f"reference/python/{module}.md"] = "\n".join(_python(module)) + "\n"
    return made


def group() -> Any:
    """Return the command line as a whole."""
    return typer.main.get_command(app)


def commands() -> dict[str, Any]:
    """Return every command of the command line by its name, with all its flags."""
    whole = group()
    context = whole.make_context("stream-bp", [], resilient_parsing=True)
    return {name: whole.resolve_command(context, [name])[1] for name in whole.list_commands(context)}


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table, whose cells stand one under the other on a phone."""
    kinds = "stacked stacked-default" if header[-1] == "default" else "stacked"
    yield from (f'<div class="{kinds}" markdown>', "")
    yield f"| {' | '.join(header)} |"
    yield "|---" * len(header) + "|"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', _BAR) for cell in row)} |"
    yield from ("", "</div>", "")


def _code(*words: str) -> str:
    return " ".join(f"`{word}`" for word in words)


# The command line


def _command_line() -> Iterator[str]:
    whole = group()
    yield from ("# Command line", "")
    yield "This page is made from the command line itself. `stream-bp COMMAND --help` prints the same text."
    yield from ("Each flag of `train` is also a key of a [configuration file](configuration.md).", "")
    yield from ("## stream-bp", "", _sentence(whole.help), "")
    yield from _flags(whole.params)
    for name, command in commands().items():
        arguments = [param for param in command.params if not param.opts[0].startswith("-")]
        yield from (f"## {name}", "", _sentence(command.help), "", "```text", _usage(name, arguments), "```", "")
        if arguments:
            rows = [(_code(_metavar(one)), _help_and_default(one)[0], _help_and_default(one)[1]) for one in arguments]
            yield from _table(("argument", "meaning", "default"), rows)
        yield from _flags(param for param in command.params if param not in arguments)


def _flags(params: Iterable[Any]) -> Iterator[str]:
    """Yield a table of flags for each section of the help."""
    sections: dict[str, list[Any]] = {}
    for param in params:
        if not param.hidden:
            sections.setdefault(getattr(param, "rich_help_panel", None) or "", []).append(param)
    for title, listed in sections.items():
        if title:
            yield from (f"### {title}", "")
        yield from _table(("flag", "meaning", "default"), map(_flag, listed))


def _flag(param: Any) -> tuple[str, str, str]:
    text, default = _help_and_default(param)
    names = [*param.opts, *param.secondary_opts]
    kind = _kind(param)
    choices = [] if kind == "switch" else _choices(param)
    if choices:
        text = text.removesuffix(f": {', '.join(choices)}")
        text += f"<br>{' · '.join(_code(word) for word in choices)}"
    shown = "" if kind == "switch" or choices else f"<br>{kind}"
    return ", ".join(_code(name) for name in names) + shown, text, default


def _usage(name: str, arguments: Sequence[Any]) -> str:
    words = [f"{_metavar(one)}{'…' if one.nargs < 0 else ''}" for one in arguments]
    shown = [word if one.required else f"[{word}]" for word, one in zip(words, arguments, strict=True)]
    return " ".join(["stream-bp", name, *shown, "[FLAG…]"])


def _metavar(param: Any) -> str:
    return str(param.metavar or param.name.upper()).rstrip(".…")


def _kind(param: Any) -> str:
    if getattr(param, "is_flag", False):
        return "switch"
    annotation = getattr(param.type_descriptor, "annotation", str)
    if annotation == list[str]:
        return "text, repeatable"
    return _TYPES.get(getattr(annotation, "__name__", "str"), "text")


def _choices(param: Any) -> list[str]:
    """Return the words that a setting of a job may be, where its help ends with them."""
    field = JobConfig.model_fields.get(param.name) or Watching.model_fields.get(param.name)
    words = choices_of(field) if field is not None else []
    return words if words and _DEFAULT.sub("", param.help or "").endswith(f": {', '.join(words)}") else []


def _help_and_default(param: Any) -> tuple[str, str]:
    """Return the help of a parameter without the default in it, and that default."""
    text = param.help or ""
    found = _DEFAULT.search(text)
    if found is not None:
        field = JobConfig.model_fields.get(param.name) or Watching.model_fields.get(param.name)
        is_described = field is not None and found[0].strip() in str(field.description)
        return _sentence(_DEFAULT.sub("", text)), found[1] if is_described else _default(found[1])
    if param.required:
        return _sentence(text), "required"
    if _kind(param) == "switch":
        return _sentence(text), "off" if not param.default else "on"
    return _sentence(text), ""


def _default(text: str) -> str:
    """Return a default as code, unless it is a switch or some words."""
    return {"yes": "on", "no": "off"}.get(text, text if " " in text else _code(text))


def _sentence(text: str) -> str:
    """Return a help text with a capital letter, where it begins with a word."""
    text = " ".join(text.split())
    return text[:1].upper() + text[1:] if text[:2].islower() else text


# Settings


def _configuration() -> Iterator[str]:
    yield from ("# Configuration", "")
    yield "`stream-bp train --config job.toml` reads its settings from a TOML file. A flag overrides the file."
    yield "A key is written with `-` or `_`. In Python, the same settings are keyword arguments of `Job`."
    yield from ("", "## The job", "")
    yield "These settings decide what is learned. A job is resumed only with the same values."
    yield ""
    yield from _settings(JobConfig, [name for name in JobConfig.model_fields if name in IDENTITY])
    yield from ("## How the job runs", "", "These settings may change when a job is resumed.", "")
    yield from _settings(JobConfig, [name for name in JobConfig.model_fields if name not in IDENTITY])
    yield from ("## How the process is monitored", "", "These settings belong to the process, not to its job.", "")
    yield from _settings(Watching, list(Watching.model_fields))


def _settings(fields: Any, names: Sequence[str]) -> Iterator[str]:
    rows = []
    for name in names:
        field = fields.model_fields[name]
        text, default = _description(field)
        choices = choices_of(field)
        if any(not re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text) for word in choices):
            text += f"<br>{' · '.join(_code(word) for word in choices)}"
        rows.append((_code(name), _type_of(field, choices), text, default))
    yield from _table(("key", "type", "meaning", "default"), rows)


def _description(field: Any) -> tuple[str, str]:
    text = str(field.description)
    found = _DEFAULT.search(text)
    if found is not None:
        return _sentence(_DEFAULT.sub("", text)), found[1]
    if field.is_required():
        return _sentence(text), "required"
    return _sentence(text), _toml(field.default)


def _toml(value: Any) -> str:
    """Return a default as TOML writes it."""
    if value is None or value == ():
        return ""
    if isinstance(value, bool):
        return _code(str(value).lower())
    if isinstance(value, tuple):
        return _code(str(list(value)))
    return _code(f'"{value}"' if isinstance(value, str) else str(value))


def _type_of(field: Any, choices: Sequence[str]) -> str:
    if choices:
        return "text"
    kinds = [field.annotation, *get_args(field.annotation)]
    for kind, name in ((bool, "true or false"), (int, "whole number"), (float, "number")):
        if kind in kinds:
            return name
    if any(getattr(kind, "__origin__", kind) is tuple for kind in kinds):
        return "list"
    return "text"


# Files of a run


def _run_directory() -> Iterator[str]:
    yield from ("# Run directory", "")
    yield "A run directory holds everything that a job saves. One process at a time writes to it."
    yield from ("", "| name | content |", "|---|---|")
    yield "| `checkpoints/` | The last [checkpoints](checkpoint.md): `step-000000001200.safetensors`, … |"
    for file in RUN_FILES.values():
        yield f"| [`{file.file}`](#{file.file.replace('.', '')}) | {file.text} |"
    yield "| `lock` | Held while a job runs. It names the process. |"
    yield ""
    for name, file in RUN_FILES.items():
        yield from (f"## {file.file}", "", file.text, "")
        if file.has_mark:
            yield from ("Each checkpoint records how far this file reached. A resumed job continues from there.", "")
        if file.meanings is not None:
            yield from _table(("column", "meaning"), [(_code(one), text) for one, text in file.meanings.items()])
        if name in _MORE:
            yield from _MORE[name]()


def _of_history() -> Iterator[str]:
    yield "The distance between two lines is 1,000 rows at first, later 1 % of all rows, and at most 100,000 rows."
    yield "The file ends with a line for the last row."
    yield ""
    yield from _table(("column", "meaning"), [(_code(column), text) for column, text in COLUMNS.items()])
    yield "The metrics and the baselines depend on the task:"
    yield ""
    yield from _table(("task", "METRIC", "BASELINE"), [_metrics_of(task) for task in ("classification", "regression")])
    yield "[Mathematics](../explanation/mathematics.md) defines them."
    yield ""


def _metrics_of(task: Any) -> tuple[str, str, str]:
    from stream_bp.metrics.prequential import PrequentialEvaluator

    evaluation = PrequentialEvaluator(task, 1)
    return task, _code(*evaluation.metrics()), _code(*evaluation.baselines())


def _of_events() -> Iterator[str]:
    yield from _table(("event", "meaning"), [(_code(event), text) for event, text in EVENTS.items()])


def _of_psi() -> Iterator[str]:
    yield "A window has 1,000 rows at first, later 10 % of all rows, and at most a million."
    yield ""


def _of_timeline() -> Iterator[str]:
    yield "The time between two samples is 1 s at first, later 1 % of the age of the job, and at most 10 minutes."
    yield ""


def _of_decisions() -> Iterator[str]:
    yield "The file has three cells a line: the row of the stream, what was decided, and the decision."
    yield from ("Each line is on the disk before the job uses it.", "")
    yield from _table(("second cell", "meaning"), [(_code(kind), text) for kind, text in KINDS.items()])


_MORE: dict[str, Callable[[], Iterator[str]]] = {
    "history": _of_history,
    "events": _of_events,
    "psi": _of_psi,
    "timeline": _of_timeline,
    "decisions": _of_decisions,
}


# Metrics of Prometheus


def _metrics() -> Iterator[str]:
    yield from ("# Metrics", "")
    yield "`--metrics-port` serves these metrics at `/metrics`, for Prometheus. Counters count the work of one process:"
    yield from ("they restart at 0 when a job is resumed.", "")
    rows = []
    for family in exported():
        labels = dict.fromkeys(label for sample in family.samples for label in sample.labels if label != "le")
        name = family.name + {"counter": "_total", "info": "_info"}.get(family.type, "")
        rows.append((_code(name), family.type, _code(*labels), family.documentation))
    yield from _table(("metric", "type", "labels", "meaning"), rows)
    yield "The process itself has the usual metrics of Prometheus' client library: `process_cpu_seconds_total`,"
    yield "`process_resident_memory_bytes` and others."


def exported() -> list[Any]:
    """Return the metrics that jobs export: one over a file that ends, one over a folder that is followed."""
    # Imported late: the other pages need neither Arrow nor a job.
    from connectors import Follow, open_source
    from stream_bp.job.job import Job
    from stream_bp.job.observer import Observer
    from stream_bp.monitoring.prometheus import JobCollector

    class Look(Observer):
        """Collects the metrics at the end of a job."""

        def __init__(self) -> None:
            self.collector, self.found = JobCollector(), list[Any]()

        def on_start(self, training: Any, resumed: Any) -> None:
            self.collector.begin(training)

        def on_end(self, status: Any, reason: str) -> None:
            self.collector.look(status)
            self.found = list(self.collector.collect())

    families: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows"
        rows.mkdir()
        lines = [f"{i % 7},{'yes' if i % 7 > 3 else 'no'}" for i in range(2_100)]
        (rows / "1.csv").write_text("\n".join(["x,label", *lines, "too,many,cells"]) + "\n")
        # Minibatches of this size need no compiled code.
        settings: dict[str, Any] = {"target": "label", "batch_size": 256, "on_bad_row": "skip", "checkpoint_every": "2"}
        ways: dict[str, dict[str, Any]] = {"ends": {}, "follows": {"follow": True, "idle_timeout": "0.1s"}}
        for name, more in ways.items():
            look = Look()
            follow = Follow("name", 0.1) if more else None
            source = open_source(str(rows), keeps_bad_rows=True, follow=follow)
            Job(source, run_dir=str(Path(folder) / name), observer=look, **settings, **more).run()
            families |= {family.name: family for family in look.found}
    return list(families.values())


# Errors and exit codes


def _exit_codes() -> Iterator[str]:
    codes = exit_codes()
    yield from ("# Exit codes", "")
    yield "Every command ends with one of these codes. After a signal, a job first finishes its minibatch and saves it."
    yield ""
    yield from _table(
        ("code", "meaning", "errors"), [(str(code), text, _code(*_errors_of(code))) for code, text in codes.items()]
    )
    yield "An error is one line on standard error. `stream-bp --debug COMMAND …` shows a traceback."
    yield "[Errors](errors.md) explains each of them."


def _error_classes() -> list[type[Exception]]:
    found = []
    for module in (stream_bp.errors, connectors.errors):
        things = [getattr(module, name) for name in module.__all__]
        found += [thing for thing in things if inspect.isclass(thing) and issubclass(thing, Exception)]
    return found


def _errors_of(code: int) -> list[str]:
    return [one.__name__ for one in _error_classes() if _exit_code(one) == code]


def _exit_code(error: type[Exception]) -> int:
    return int(getattr(error, "exit_code", 1))


def _errors() -> Iterator[str]:
    yield from ("# Errors", "")
    yield "An error message is one line: what, where, found, expected, and what to do."
    yield from ("Python raises these classes; the command line ends with their exit codes.", "")
    for title, module in (("stream_bp.errors", stream_bp.errors), ("connectors.errors", connectors.errors)):
        yield from (f"## {title}", "")
        rows = []
        for error in _error_classes():
            if error.__module__ == module.__name__:
                bases = [base.__name__ for base in error.__bases__]
                text = inspect.cleandoc(error.__doc__ or "").split("\n\n")[0]
                link = f"[`{error.__name__}`][{error.__module__}.{error.__name__}]"
                rows.append((link, _code(*bases), f"{_plain(text)} Exit code {_exit_code(error)}."))
        yield from _table(("error", "is also", "meaning"), rows)


def _plain(docstring: str) -> str:
    """Return a line of a docstring as Markdown."""
    return " ".join(re.sub(r":\w+:`~?(?:[\w.]+\.)?(\w+)`", r"`\1`", docstring).replace("``", "`").split())


# The Python interface


def _python(name: str) -> Iterator[str]:
    module = importlib.import_module(name)
    yield from (f"# {name}", "")
    yield _plain(inspect.cleandoc(module.__doc__ or "").split("\n\n")[0])
    yield ""
    elsewhere = {thing: home for thing in module.__all__ if (home := _home(module, thing)) != name}
    if elsewhere:
        yield f"Also exported here: {', '.join(f'[`{thing}`][{home}.{thing}]' for thing, home in elsewhere.items())}."
        yield ""
    for thing in module.__all__:
        if thing not in elsewhere:
            yield from (f"::: {name}.{thing}", "")


def _home(module: Any, name: str) -> str:
    """Return the public module whose page describes a thing: its own, else the first that exports it."""
    thing = getattr(module, name)
    if getattr(thing, "__module__", None) in PUBLIC:
        return str(thing.__module__)
    homes = [place for place in PUBLIC if getattr(importlib.import_module(place), name, None) is thing]
    return homes[0]
