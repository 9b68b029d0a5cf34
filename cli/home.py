"""Where a user's folders and settings are: HOLDFAST_HOME, else the places XDG names."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True, slots=True)
class Home:
    """Data and settings of one user; each role has a folder and a TOML of its own."""

    data: Path
    settings: Path

    @classmethod
    def find(cls, explicit: Path | None) -> Self:
        """Return the home: the one given, else $HOLDFAST_HOME's, else XDG's."""
        chosen = explicit or (Path(os.environ["HOLDFAST_HOME"]) if _is_set() else None)
        if chosen is not None:
            return cls(data=chosen, settings=chosen)
        import platformdirs

        return cls(
            data=platformdirs.user_data_path("holdfast"),
            settings=platformdirs.user_config_path("holdfast"),
        )

    def folder(self, role: str) -> Path:
        """Return where a role keeps its data."""
        return self.data / role

    def toml(self, role: str) -> Path:
        """Return the settings file of a role."""
        return self.settings / f"{role}.toml"


def _is_set() -> bool:
    return bool(os.environ.get("HOLDFAST_HOME"))
