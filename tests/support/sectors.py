"""A small sector, sealed for real, with the statements that its proofs are about."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from proofs.parameters import ProofParameters, ProofType
from proofs.piece import PieceCommitment, comm_d, comm_p, layout
from proofs.porep import PorepStatement
from proofs.post import WindowStatement
from proofs.registry import parameters_of
from proofs.replica import replica_id
from proofs.seal import seal, write_sector_data
from proofs.sealed import SealedCommitments

CHAIN_ID = b"holdfast-test"
PROVIDER_ID = 1000
SECTOR_NUMBER = 7
TICKET = hashlib.sha256(b"ticket").digest()
SEED = hashlib.sha256(b"seed").digest()


@dataclass(frozen=True)
class SealedSector:
    """What one sealed sector is made of, and where it lies."""

    parameters: ProofParameters
    payloads: tuple[bytes, ...]
    pieces: tuple[PieceCommitment, ...]
    data_path: Path
    folder: Path
    replica_id: bytes
    commitments: SealedCommitments

    @property
    def offsets_bytes(self) -> tuple[int, ...]:
        sizes = [piece.padded_size_bytes for piece in self.pieces]
        return layout(sizes, self.parameters.sector_size_bytes)

    @property
    def piece_ranges(self) -> tuple[tuple[int, int], ...]:
        return tuple(
            (offset // 32, (offset + piece.padded_size_bytes) // 32)
            for offset, piece in zip(self.offsets_bytes, self.pieces, strict=True)
        )

    def porep_statement(self) -> PorepStatement:
        return PorepStatement(
            parameters=self.parameters,
            chain_id=CHAIN_ID,
            provider_id=PROVIDER_ID,
            sector_number=SECTOR_NUMBER,
            ticket=TICKET,
            comm_d=self.commitments.comm_d,
            comm_r=self.commitments.comm_r,
            seed=SEED,
            piece_ranges=self.piece_ranges,
        )

    def window_statement(self) -> WindowStatement:
        return WindowStatement(
            parameters=self.parameters,
            chain_id=CHAIN_ID,
            provider_id=PROVIDER_ID,
            sector_number=SECTOR_NUMBER,
            comm_r=self.commitments.comm_r,
            seeds=(SEED,),
            piece_ranges=self.piece_ranges,
        )


def some_bytes(name: str, count: int) -> bytes:
    """Return bytes that look random and are always the same."""
    return hashlib.shake_256(name.encode()).digest(count)


def write_pieces(
    payloads: tuple[bytes, ...], parameters: ProofParameters, folder: Path
) -> tuple[tuple[PieceCommitment, ...], Path]:
    """Write a sector's data from payloads in order; return the pieces and the data's path."""
    pieces = tuple(comm_p(payload) for payload in payloads)
    sizes = [piece.padded_size_bytes for piece in pieces]
    offsets = layout(sizes, parameters.sector_size_bytes)
    paths = [folder / f"piece-{number}" for number in range(len(payloads))]
    for path, payload in zip(paths, payloads, strict=True):
        path.write_bytes(payload)
    data_path = folder / "data"
    placed = list(zip(paths, offsets, strict=True))
    write_sector_data(placed, parameters.sector_size_bytes, data_path)
    return pieces, data_path


def seal_sector(folder: Path, payloads: tuple[bytes, ...] | None = None) -> SealedSector:
    """Seal pieces into a 2 KiB sector."""
    parameters = parameters_of(ProofType.SDR_2KIB)
    if payloads is None:
        payloads = (some_bytes("small", 100), some_bytes("large", 900))
    pieces, data_path = write_pieces(payloads, parameters, folder)
    replica = replica_id(
        provider_id=PROVIDER_ID,
        sector_number=SECTOR_NUMBER,
        ticket=TICKET,
        comm_d=comm_d(pieces, parameters.sector_size_bytes),
        porep_id=parameters.porep_id,
    )
    commitments = seal(parameters, replica, data_path, folder / "sealed")
    return SealedSector(
        parameters, payloads, pieces, data_path, folder / "sealed", replica, commitments
    )


def flip_bit(path: Path, at: int) -> None:
    """Let one byte of a file rot."""
    rotten = bytearray(path.read_bytes())
    rotten[at] ^= 1
    path.write_bytes(rotten)
