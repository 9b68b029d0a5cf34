"""How files become DAGs: every setting that changes a CID, and the two named sets (IPIP-0499)."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from ipfs.block import BLOCK_BYTES_MAX
from ipfs.unixfs.chunker import Chunker, FixedSize
from ipfs.unixfs.layout import Layout

LINKS_MAX: Final = 8192
"""In a node of a file, so that the node fits a block whatever its links are."""

_CHUNK_BYTES_MAX: Final = BLOCK_BYTES_MAX - 64
"""A DAG-PB leaf holds a header besides its chunk."""

_MEBIBYTE: Final = FixedSize(1 << 20)


class DirectorySize(StrEnum):
    """How a directory's size is measured against the sharding threshold."""

    LINKS = "links"
    """Names and binary CIDs: what Kubo did up to 2025."""

    BLOCK = "block"
    """The bytes of the directory's block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportSettings:
    """Everything that decides which CID the same bytes get.

    cid_version:           of DAG-PB nodes; raw leaves are always version 1
    raw_leaves:            leaves are bare bytes, or DAG-PB nodes that wrap them
    directory_bytes_max:   a larger directory is sharded
    keep_mode, keep_mtime: store each entry's permission bits and time of change
    Raises `ValueError` for numbers that make no DAG.
    """

    cid_version: int = 1
    raw_leaves: bool = True
    chunker: Chunker = _MEBIBYTE
    links_per_node_max: int = 1024
    layout: Layout = Layout.BALANCED
    directory_size: DirectorySize = DirectorySize.BLOCK
    directory_bytes_max: int = 256 << 10
    keep_mode: bool = False
    keep_mtime: bool = False

    def __post_init__(self) -> None:
        if self.cid_version not in {0, 1}:
            raise ValueError(f"there is no CID version {self.cid_version}")
        if not 1 <= self.chunker.chunk_bytes_max <= _CHUNK_BYTES_MAX:
            raise ValueError(f"chunks of {self.chunker}: 1 to {_CHUNK_BYTES_MAX} bytes fit")
        if not 2 <= self.links_per_node_max <= LINKS_MAX:
            raise ValueError(f"{self.links_per_node_max} links in a node: 2 to {LINKS_MAX} fit")


UNIXFS_V1_2025: Final = ImportSettings()
UNIXFS_V0_2015: Final = ImportSettings(
    cid_version=0,
    raw_leaves=False,
    chunker=FixedSize(256 << 10),
    links_per_node_max=174,
    directory_size=DirectorySize.LINKS,
)
PROFILES: Final[Mapping[str, ImportSettings]] = MappingProxyType(
    {"unixfs-v1-2025": UNIXFS_V1_2025, "unixfs-v0-2015": UNIXFS_V0_2015}
)
