"""Small files of JSON beside the logs, in which a process remembers or tells things; each is replaced in one step."""

from __future__ import annotations

import json
import os
from pathlib import Path


def read(path: Path) -> object:
    """What the file holds; None if there is none, or none that can be read."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


def replace_quickly(path: Path, value: object) -> None:
    """Write the file anew in one step, for readers that are not harmed by its loss."""
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(value))
    draft.replace(path)


def replace(path: Path, value: object) -> None:
    """Write the file anew, durably: after a power cut it holds the old value or the new one."""
    draft = path.with_suffix(".new")
    with draft.open("w") as file:
        json.dump(value, file)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
