"""The file that the demo plays with: a sample, whether it fits, whether it came back whole."""

from pathlib import Path
from typing import Final

from cli.words import Unreadable, format_bytes, parse_bytes

SAMPLE_BYTES: Final = 1 << 20


class PathTooLarge(Exception):
    """The file is larger than what one sector takes; nothing was started."""

    code = "piece-too-large"

    def __init__(self, path: Path, *, size_bytes: int, sector_bytes: int, larger: str) -> None:
        way_out = (
            f"a larger one does: holdfast demo --sector-size {larger}"
            if larger
            else ("splitting over sectors comes later")
        )
        super().__init__(
            f"{path} has {format_bytes(size_bytes)}, more than a sector of "
            f"{format_bytes(sector_bytes)} takes; {way_out}"
        )


def check_fits(path: Path, sector_size: str) -> None:
    """Refuse what one sector can't take, before anything starts; `store` reckons to the byte.

    Raises `PathTooLarge`, `FileNotFoundError`, `Unreadable`.
    """
    from chain.policy import DEV
    from proofs.registry import parameters_of

    wanted_bytes, size_bytes = parse_bytes(sector_size), _size_bytes(path)
    kinds = [parameters_of(rule.proof_type) for rule in DEV.sectors]
    payloads = {kind.sector_size_bytes: kind.payload_bytes for kind in kinds}
    if wanted_bytes not in payloads:
        sizes = ", ".join(format_bytes(size) for size in payloads)
        raise Unreadable(f"no sectors of {sector_size} here; there are: {sizes}")
    if size_bytes > payloads[wanted_bytes]:
        fitting = [sector for sector, payload in payloads.items() if payload >= size_bytes]
        larger = f"{min(fitting) >> 20}MiB" if fitting else ""
        raise PathTooLarge(path, size_bytes=size_bytes, sector_bytes=wanted_bytes, larger=larger)


def first_difference(left: Path, right: Path) -> Path | None:
    """Return the first place at which two files or folders differ, None if they are identical."""
    if left.is_symlink() or right.is_symlink():
        same = left.is_symlink() and right.is_symlink() and left.readlink() == right.readlink()
        return None if same else left
    if left.is_dir() and right.is_dir():
        names = sorted(child.name for child in left.iterdir())
        if names != sorted(child.name for child in right.iterdir()):
            return left
        found = (first_difference(left / name, right / name) for name in names)
        return next((difference for difference in found if difference), None)
    if not (left.is_file() and right.is_file()):
        return left
    return None if left.read_bytes() == right.read_bytes() else left


def _size_bytes(path: Path) -> int:
    if path.is_dir() and not path.is_symlink():
        return sum(_size_bytes(child) for child in path.iterdir())
    return path.lstat().st_size


def write_sample(folder: Path) -> Path:
    """Write a file to play with; return its path."""
    sample = folder / "sample.txt"
    line = "Holdfast: the root-like thing by which seaweed holds on to rock. Line {:08d}.\n"
    count = -(-SAMPLE_BYTES // len(line.format(0)))
    sample.write_text("".join(line.format(number) for number in range(count)))
    return sample
