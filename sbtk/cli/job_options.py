"""Options that the verbs of plans and jobs share: each stands here once."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


class Layout(StrEnum):
    """How the archive is laid out."""

    IMAGE = "image"
    FILES = "files"
    MIRROR = "mirror"


LayoutOption = Annotated[Layout, typer.Option(help="Layout of the archive.")]
IncludeOption = Annotated[
    list[str] | None, typer.Option(metavar="GLOB", help="Only these files; repeatable.")
]
ExcludeOption = Annotated[
    list[str] | None, typer.Option(metavar="GLOB", help="Not the data of these; repeatable.")
]
PagingFilesOption = Annotated[
    bool, typer.Option("--paging-files", help="Carry pagefile.sys and its like too.")
]
RecordBytesOption = Annotated[str, typer.Option(help="Tape record, such as 256KiB.")]
ProfileOption = Annotated[
    str, typer.Option(help="Copy manager: spc, lio, scst, ctl, tcmu; or NAME,max_segments=8.")
]
SetArgument = Annotated[str, typer.Argument(metavar="SET", help="Id of a set, or last.")]
FromOption = Annotated[str, typer.Option("--from", metavar="LOC", help="Where the medium is now.")]
YesOption = Annotated[
    str, typer.Option(metavar="NAME", help="Destroy what the target of this name holds.")
]
