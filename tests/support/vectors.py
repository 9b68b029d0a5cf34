"""Cases made by other implementations: ours to copy, or foreign and read where they lie."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

OWN = Path(__file__).parent.parent / "vectors"


def own(name: str) -> Any:
    """Return the parsed `tests/vectors/<name>`."""
    return json.loads((OWN / name).read_text())


def foreign_path(name: str) -> Path:
    """Return the path of a foreign vector file; skip the test, by name, where there is none."""
    folder = os.environ.get("HOLDFAST_VECTORS")
    if not folder:
        pytest.skip(f"foreign vectors {name}: HOLDFAST_VECTORS is not set")
    return Path(folder) / "foreign" / name


def foreign(name: str) -> Any:
    """Return the parsed foreign vector file; skip the test, by name, where there is none."""
    return json.loads(foreign_path(name).read_text())
