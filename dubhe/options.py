"""Options that many commands have, and the way from --config to a database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from dubhe.supervisor import database
from ingest.settings import Settings

Config = Annotated[Path | None, typer.Option("--config", envvar="DUBHE_CONFIG", help="Settings file (TOML) 设置文件")]
Colour = Annotated[str, typer.Option("--colour", help="plate colour 车牌颜色, where two vehicles have the same plate")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON instead of text, one object a line")]
Timeout = Annotated[float, typer.Option("--timeout-s", min=0.1, max=3_600, help="how long a terminal may take to answer 应答超时")]
Expires = Annotated[
    float | None,
    typer.Option("--expires-s", min=1, help="let it wait so long for a terminal that is offline 离线排队时限; without it: never"),
]


@contextmanager
def database_of(config: Path | None) -> Iterator[str]:
    """The URL of the database that the settings name, or of the embedded one."""
    with database(Settings.load(config)) as url:
        yield url
