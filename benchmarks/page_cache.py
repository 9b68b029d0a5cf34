"""Memory that is there before a measurement begins."""

from pathlib import Path

_LEFT_BYTES = 512 << 20


def fill_page_cache(folder: Path) -> None:
    """Leave no memory free, so that whoever writes next is given some that held a file before.

    A virtual machine has a free page from its host only once it is touched, some microseconds each,
    and may have given it back by the next time: that is up to half of what a write takes, comes
    and goes, and says nothing about the writer. The file that fills the cache has no bytes on the
    disk and stays in `folder`. Does nothing but on Linux.
    """
    path = folder / "page-cache"
    path.touch()
    start = path.stat().st_size
    with path.open("r+b", buffering=0) as file:
        file.truncate(start + max(0, _free_bytes() - _LEFT_BYTES))
        file.seek(start)
        buffer = bytearray(1 << 20)
        while file.readinto(buffer):
            pass


def _free_bytes() -> int:
    meminfo = Path("/proc/meminfo")
    lines = meminfo.read_text().splitlines() if meminfo.exists() else []
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("MemFree:"))
