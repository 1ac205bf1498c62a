"""The arguments and flags that several commands take."""

from typing import Annotated

import typer

__all__ = [
    "AsJson",
    "Checkpoint",
    "Decimal",
    "Delimiter",
    "Encoding",
    "MaybeSources",
    "NullValues",
    "OnBadRow",
    "OtherNumerics",
    "Quote",
    "Restart",
    "Sources",
]

_SOURCE = typer.Argument(metavar="SOURCE", help="files, folders, patterns, addresses; - for standard input")
Sources = Annotated[list[str], _SOURCE]
MaybeSources = Annotated[list[str] | None, _SOURCE]
Checkpoint = Annotated[str, typer.Argument(metavar="CHECKPOINT", help="checkpoint file, or run directory")]
AsJson = Annotated[bool, typer.Option("--json", help="write one JSON object to standard output")]
Restart = Annotated[bool, typer.Option("--restart", help="start over, removing the job that the run directory holds")]
OtherNumerics = Annotated[
    bool, typer.Option("--allow-inexact-resume", help="resume although versions, BLAS or threads differ")
]
_AS_LEARNED = "[default: as the checkpoint was learned]"
Delimiter = Annotated[str | None, typer.Option(help=f"what separates the fields of text {_AS_LEARNED}")]
Quote = Annotated[str | None, typer.Option(help=f"what encloses fields of text: \" or ' or none {_AS_LEARNED}")]
Encoding = Annotated[str | None, typer.Option(help=f"of text, as utf-8, utf-16, latin-1 {_AS_LEARNED}")]
NullValues = Annotated[
    list[str] | None,
    typer.Option(help=f"words of text that mean that there is no value, beside the usual ones {_AS_LEARNED}"),
]
Decimal = Annotated[str | None, typer.Option(help=f"decimal mark of numbers in text, . or , {_AS_LEARNED}")]
OnBadRow = Annotated[
    str | None, typer.Option(help=f"error, or skip: it is left out and counted {_AS_LEARNED}, quarantine as skip")
]
