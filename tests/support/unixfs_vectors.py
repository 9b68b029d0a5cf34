"""The settings and inputs that the rows of `unixfs.json` name."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from ipfs.cid import CID
from ipfs.unixfs.chunker import FixedSize
from ipfs.unixfs.layout import Layout
from ipfs.unixfs.profiles import (
    UNIXFS_V0_2015,
    UNIXFS_V1_2025,
    DirectorySize,
    ImportSettings,
)


def _settings(
    cid_version: int, chunk_bytes: int, *, raw_leaves: bool, layout: Layout = Layout.BALANCED
) -> ImportSettings:
    return ImportSettings(
        cid_version=cid_version,
        raw_leaves=raw_leaves,
        chunker=FixedSize(chunk_bytes),
        links_per_node_max=174,
        layout=layout,
        directory_size=DirectorySize.LINKS,
    )


SETTINGS: Final[Mapping[str, ImportSettings]] = {
    "v0-2015": UNIXFS_V0_2015,
    "v1-2025": UNIXFS_V1_2025,
    "v1-raw-256k-174": _settings(1, 256 << 10, raw_leaves=True),
    "v1-pb-256k-174": _settings(1, 256 << 10, raw_leaves=False),
    "v0-raw-256k-174": _settings(0, 256 << 10, raw_leaves=True),
    "v1-raw-1m-174": _settings(1, 1 << 20, raw_leaves=True),
    "v1-raw-256B-174": _settings(1, 256, raw_leaves=True),
    "v0-pb-256B-174": _settings(0, 256, raw_leaves=False),
    "v0-trickle-256k": _settings(0, 256 << 10, raw_leaves=False, layout=Layout.TRICKLE),
    "v1-trickle-raw-256k": _settings(1, 256 << 10, raw_leaves=True, layout=Layout.TRICKLE),
    "v1-trickle-raw-256B": _settings(1, 256, raw_leaves=True, layout=Layout.TRICKLE),
}


def settings_of(row: Mapping[str, Any]) -> ImportSettings:
    """Return the settings of a directory row, whose name or options say more than its profile."""
    settings = SETTINGS[row["config"]]
    threshold = row.get("options", {}).get("shardSplitThresholdBytes")
    if threshold is not None:
        settings = replace(settings, directory_bytes_max=threshold)
    is_kept = row["name"] == "mode-mtime"
    return replace(settings, keep_mode=is_kept, keep_mtime=is_kept)


def content(size_bytes: int, kind: str = "prng") -> bytes:
    """Return the input of a file row."""
    if kind == "zeros":
        return bytes(size_bytes)
    return hashlib.shake_256(b"unixfs-vector").digest(size_bytes)


def cids_sha256(cids: list[CID]) -> str:
    """Return the digest over a DAG's block list."""
    return hashlib.sha256(
        "".join(f"{cid}\n" for cid in sorted(map(str, cids))).encode()
    ).hexdigest()


def make_directory(row: Mapping[str, Any], folder: Path) -> None:
    """Write the folder that a directory row describes."""
    folder.mkdir()
    match row["name"].split("-"):
        case ["empty"]:
            pass
        case ["hello"]:
            (folder / "hello.txt").write_bytes(b"hello world\n")
        case ["one", "empty", "file"]:
            (folder / "a").write_bytes(b"")
        case ["symlink"]:
            (folder / "f").write_bytes(b"x")
            (folder / "l").symlink_to("f")
        case ["names"]:
            for name in ("Z", "a", "é", "あ", " space", "a b", "10", "9", "𐀀", "\uffee"):
                (folder / name).write_text(name, encoding="utf-8")
        case ["nested"]:
            (folder / "b" / "d").mkdir(parents=True)
            (folder / "empty").mkdir()
            (folder / "a.txt").write_bytes(b"a")
            (folder / "b" / "c.txt").write_bytes(b"c")
            (folder / "b" / "d" / "e.txt").write_bytes(b"e")
            (folder / "big").write_bytes(content(1048577))
        case ["mode", "mtime"]:
            (folder / "f").write_bytes(b"x")
            (folder / "f").chmod(0o644)
            os.utime(folder / "f", ns=(0, 1_700_000_000 * 10**9 + 5))
            folder.chmod(0o755)
            os.utime(folder, ns=(0, 1_700_000_000 * 10**9))
        case ["hamt", "forced", "1"]:
            (folder / "a").write_bytes(b"a")
        case ["hamt", "forced", count]:
            for index in range(int(count)):
                (folder / f"f{index:02d}").write_text(f"{index:02d}")
        case ["flat" | "threshold" | "hamt", count]:
            for index in range(int(count)):
                (folder / f"file-{index:06d}").write_text(f"{index:06d}")
        case _:
            raise AssertionError(f"no recipe for {row['name']}")
