"""The arguments and flags that several commands take, besides those that are settings."""

from typing import Annotated

import typer

__all__ = [
    "AsJson",
    "Checkpoint",
    "InexactResume",
    "MaybeSources",
    "Restart",
    "Sources",
    "Verbose",
]

_SOURCE = typer.Argument(
    metavar="SOURCE", help="Read these files, folders, patterns or addresses; - for standard input"
)
Sources = Annotated[list[str], _SOURCE]
MaybeSources = Annotated[list[str] | None, _SOURCE]
Checkpoint = Annotated[str, typer.Argument(metavar="CHECKPOINT", help="Use this checkpoint file, or run directory")]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on standard output", rich_help_panel="Output")
]
Verbose = Annotated[
    bool,
    typer.Option("--verbose", "-v", help="Add gradient sizes, numerics and digests", rich_help_panel="Output"),
]
Restart = Annotated[
    bool,
    typer.Option("--restart", help="Start over; remove the job in the run directory", rich_help_panel="Checkpoints"),
]
InexactResume = Annotated[
    bool,
    typer.Option(
        "--allow-inexact-resume",
        help="Resume although versions, BLAS or threads differ",
        rich_help_panel="Checkpoints",
    ),
]
