"""Where a provider's sectors lie, and what is read and written there.

    sectors/<number>/staging/   the pieces as CARs and the padded data, until the replica is proven
    sectors/<number>/replica/   the sealed sector, as `proofs.sealed` lays it out
    sectors/<number>/mended/    the same, made again because the one above is damaged
    sectors/<number>/damage.json  what the last scrub found wrong; absent: nothing

Everything that takes long runs in a thread.
"""

import asyncio
import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from chain.units import SectorNumber
from ipfs.blockstore import Blockstore
from ipfs.car import car_of
from ipfs.cid import CID
from proofs import registry
from proofs.parameters import ProofParameters
from proofs.piece import CommPHasher, PieceCommitment, layout
from proofs.post import WindowStatement
from proofs.scrub import SCRUBBED_PER_BYTE, scrub
from proofs.sealed import (
    MANIFEST,
    REPLICA,
    TREE_R_LAST,
    drop_proving_cache,
    find_manifest,
    replace_file,
    sync,
)
from provider.answering import cold_read_seconds
from provider.blocks import free_blocks

DAMAGE: Final = "damage.json"
DAMAGES_TOLD_MAX: Final = 100
"""Of one sector; of a disk that fails everywhere there could be millions."""


@dataclass(frozen=True, slots=True)
class StagedSector:
    """What sealing works on.

    pieces:  each piece's payload file, and its offset in the padded sector
    """

    pieces: tuple[tuple[Path, int], ...]
    data_path: Path
    folder: Path


class SectorDisk:
    """The sectors of one provider, in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def free_bytes(self) -> int:
        """Return how much room the file system has."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return (await asyncio.to_thread(shutil.disk_usage, self._folder)).free

    async def cold_read_seconds(self) -> float:
        """Measure how long a node takes to be read that is not in memory. Raises: `OSError`."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return await asyncio.to_thread(cold_read_seconds, self._folder)

    async def stage(
        self,
        number: SectorNumber,
        replica_id: bytes,
        pieces: Sequence[tuple[CID, int]],
        *,
        blocks: Blockstore,
        sector_size_bytes: int,
        is_mending: bool = False,
    ) -> StagedSector:
        """Write a sector's pieces to files for sealing; what another ticket left is deleted.

        pieces:      each piece's root and padded size, in the order in which they lie
        is_mending:  seal beside the replica that is there, for `put_mended`

        Raises `BlockNotFound`.
        """

        def stage() -> StagedSector:
            folder = self._mended_folder(number) if is_mending else self.replica_folder(number)
            manifest = find_manifest(folder)
            if manifest is not None and manifest.replica_id != replica_id:
                shutil.rmtree(folder)
            staging = self._staging_folder(number)
            staging.mkdir(parents=True, exist_ok=True)
            offsets = layout([size_bytes for _, size_bytes in pieces], sector_size_bytes)
            staged = []
            for at, ((root, _), offset) in enumerate(zip(pieces, offsets, strict=True)):
                path = staging / f"{at}.car"
                with path.open("wb") as file:
                    file.writelines(car_of(blocks, root))
                staged.append((path, offset))
            return StagedSector(tuple(staged), staging / "data", folder)

        return await asyncio.to_thread(stage)

    async def unstage(self, number: SectorNumber) -> None:
        """Delete what sealing worked on."""
        await asyncio.to_thread(_delete, self._staging_folder(number))

    async def put_mended(self, number: SectorNumber) -> None:
        """Put the replica that was made again in the place of the damaged one."""

        def put() -> None:
            mended, replica = self._mended_folder(number), self.replica_folder(number)
            # The manifest last: until all is in its place, this can be done again.
            for name in (REPLICA, TREE_R_LAST, MANIFEST):
                if (mended / name).exists():
                    (mended / name).replace(replica / name)
            sync(replica)
            shutil.rmtree(mended)

        await asyncio.to_thread(put)

    async def trim(self, number: SectorNumber, parameters: ProofParameters) -> None:
        """Delete what only sealing and the proof of replication needed."""
        await self.unstage(number)
        await asyncio.to_thread(drop_proving_cache, self.replica_folder(number), parameters)

    async def clear(self, number: SectorNumber) -> None:
        """Delete everything of a sector; nothing there is no error."""
        await asyncio.to_thread(_delete, self._sector_folder(number))

    async def prove_window(self, statement: WindowStatement, number: SectorNumber) -> bytes:
        """Answer a window's challenges for one sector; reads kilobytes.

        Raises `WrongSector` if it is not there, `OSError` from the disk.
        """
        folder = self.replica_folder(number)
        return await asyncio.to_thread(registry.prove_window, statement, folder)

    def sealed(self) -> tuple[SectorNumber, ...]:
        """Return the sectors whose replicas are whole, or once were."""
        manifests = self._folder.glob(f"sectors/*/replica/{MANIFEST}")
        return tuple(sorted(SectorNumber(int(path.parents[1].name)) for path in manifests))

    def scrub_bytes(self, number: SectorNumber) -> int:
        """Return how much a scrub of a sealed sector reads; 0 if it is gone."""
        replica = self.replica_folder(number) / REPLICA
        return SCRUBBED_PER_BYTE * replica.stat().st_size if replica.exists() else 0

    async def scrub(
        self, number: SectorNumber, *, bytes_per_second: int, report: Callable[[int], None]
    ) -> tuple[str, ...]:
        """Read a replica again against its tree; return what is wrong, and write it down.

        report:  told how many bytes more were read

        A sector that is cleared meanwhile has nothing wrong with it.
        """
        folder, loop = self.replica_folder(number), asyncio.get_running_loop()
        begun, read_bytes, steps = loop.time(), 0, scrub(folder)
        found, untold = list[str](), 0
        while (checked := await asyncio.to_thread(next, steps, None)) is not None:
            room = DAMAGES_TOLD_MAX - len(found)
            found += map(str, checked.damages[:room])
            untold += len(checked.damages[room:])
            read_bytes += checked.read_bytes
            report(checked.read_bytes)
            await asyncio.sleep(max(0.0, begun + read_bytes / bytes_per_second - loop.time()))
        if not (folder / MANIFEST).exists():
            return ()
        if untold:
            found.append(f"and {untold} places more")
        note = self._sector_folder(number) / DAMAGE
        if found:
            await asyncio.to_thread(replace_file, note, json.dumps(found, indent=2))
        else:
            note.unlink(missing_ok=True)
        return tuple(found)

    async def damages(self) -> Mapping[SectorNumber, tuple[str, ...]]:
        """Return what the last scrub of each sector found, where it found something."""

        def read() -> dict[SectorNumber, tuple[str, ...]]:
            notes = sorted(self._folder.glob(f"sectors/*/{DAMAGE}"))
            return {
                SectorNumber(int(note.parent.name)): tuple(json.loads(note.read_text()))
                for note in notes
            }

        return await asyncio.to_thread(read)

    def replica_folder(self, number: SectorNumber) -> Path:
        """Return where the sealed sector lies."""
        return self._sector_folder(number) / "replica"

    def _sector_folder(self, number: SectorNumber) -> Path:
        return self._folder / "sectors" / str(number)

    def _mended_folder(self, number: SectorNumber) -> Path:
        return self._sector_folder(number) / "mended"

    def _staging_folder(self, number: SectorNumber) -> Path:
        return self._sector_folder(number) / "staging"


async def commitment_of(blocks: Blockstore, root: CID) -> PieceCommitment:
    """Return the commitment to the CAR of a DAG that is whole in the store."""

    def commit() -> PieceCommitment:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            hasher = CommPHasher(pool)
            for chunk in car_of(blocks, root):
                hasher.update(chunk)
            return hasher.finish()

    return await asyncio.to_thread(commit)


async def free_dag(blocks: Blockstore, root: CID, *, kept_roots: Iterable[CID]) -> None:
    """Delete what is stored of a DAG, but for blocks that DAGs to be kept share with it."""
    await asyncio.to_thread(free_blocks, blocks, root, kept_roots=kept_roots)


def _delete(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
