"""The whole life of a deal with nothing believed: a real sector, real proofs, real verification."""

import hashlib
from pathlib import Path

from chain import statements
from chain.deadline import open_windows
from chain.deal import DealProposal, DealState
from chain.messages import (
    PreCommitSectors,
    ProveCommitSectors,
    SectorPreCommit,
    SectorProof,
    SubmitWindowPost,
)
from chain.randomness import ticket
from chain.units import Epoch, SectorNumber
from chain.view import Judge, Statement
from ipfs.cid import CID, Codec
from ipfs.piece_cid import piece_cid_v2
from proofs.errors import ProofRejected
from proofs.piece import PieceCommitment
from proofs.porep import PorepStatement
from proofs.registry import (
    parameters_of,
    prove_replication,
    prove_window,
    verify_replication,
    verify_window,
)
from proofs.replica import replica_id
from proofs.seal import seal
from tests.support.sectors import some_bytes, write_pieces
from tests.support.world import PROOF_TYPE, ProviderPerson, StoryDeal, World


class ProofBytes(Judge):
    """Verifies the bytes that were handed in under a CID."""

    def __init__(self) -> None:
        self._proofs: dict[CID, bytes] = {}

    def take(self, proof: bytes) -> CID:
        cid = CID.of(Codec.RAW, proof)
        self._proofs[cid] = proof
        return cid

    def __call__(self, statement: Statement, proof_cid: CID) -> bool:
        try:
            if isinstance(statement, PorepStatement):
                verify_replication(statement, self._proofs[proof_cid])
            else:
                verify_window(statement, self._proofs[proof_cid])
        except ProofRejected:
            return False
        return True


def named(proposal: DealProposal, piece: PieceCommitment) -> DealProposal:
    cid = piece_cid_v2(piece.root, padding_bytes=piece.padding_bytes, height=piece.height)
    return proposal.evolve(piece_cid=cid, piece_size_bytes=piece.padded_size_bytes)


def seal_for(
    bob: ProviderPerson, deals: list[StoryDeal], data_path: Path, folder: Path
) -> SectorPreCommit:
    ledger = bob.world.ledger
    ticket_epoch = Epoch(ledger.epoch - 1)
    parameters = parameters_of(PROOF_TYPE)
    comm_d = statements.data_commitment(PROOF_TYPE, [deal.now.proposal for deal in deals])
    replica = replica_id(
        provider_id=bob.id,
        sector_number=5,
        ticket=ticket(ledger.beacon(ticket_epoch), chain_id=ledger.chain_id, provider_id=bob.id),
        comm_d=comm_d,
        porep_id=parameters.porep_id,
    )
    commitments = seal(parameters, replica, data_path, folder)
    assert commitments.comm_d == comm_d, "what the ledger computes is what was sealed"
    return SectorPreCommit(
        number=SectorNumber(5),
        proof_type=PROOF_TYPE,
        comm_d=commitments.comm_d,
        comm_r=commitments.comm_r,
        ticket_epoch=ticket_epoch,
        deal_ids=tuple(deal.id for deal in deals),
    )


def test_a_deal_lives_on_real_proofs_alone(tmp_path: Path) -> None:
    judge = ProofBytes()
    world = World(judge=judge)
    alice, bob = world.person("alice", atto=10_000), world.provider("bob", atto=10_000)
    payloads = (some_bytes("small", 100), some_bytes("large", 900))
    pieces, data_path = write_pieces(payloads, parameters_of(PROOF_TYPE), tmp_path)
    deals = []
    for piece, periods in zip(pieces, (1, 2), strict=True):
        proposal = named(alice.proposes(bob, periods=periods), piece)
        alice.reserves(proposal)
        deals.append(bob.publishes(proposal))

    folder = tmp_path / "sealed"
    item = seal_for(bob, deals, data_path, folder)
    bob.worker.does(PreCommitSectors(provider_id=bob.id, sectors=(item,)))
    world.passes(epochs=3)
    [sector] = bob.sectors
    beacons = world.ledger.beacons
    replication = prove_replication(
        statements.replication_statement(
            chain_id=world.ledger.chain_id,
            sector=sector,
            deals=world.ledger.deals_of(sector),
            ticket_beacon=beacons[sector.ticket_epoch],
            seed_beacon=beacons[statements.seed_epoch(world.policy, sector)],
        ),
        folder,
    )
    forged = replication[:-1] + bytes((replication[-1] ^ 1,))
    for proof, codes in ((forged, ["proof-invalid"]), (replication, [])):
        sector_proof = SectorProof(number=item.number, proof_cid=judge.take(proof))
        body = ProveCommitSectors(provider_id=bob.id, proofs=(sector_proof,))
        assert [each.code for each in bob.worker.says(body).refusals] == codes

    answered: set[bytes] = set()
    while world.epoch < deals[-1].now.proposal.end_epoch:
        for sector in open_windows(bob.sectors, head_epoch=Epoch(world.epoch - 1)):
            assert sector.window_epoch is not None
            proof = prove_window(
                statements.window_statement(
                    chain_id=world.ledger.chain_id,
                    policy=world.policy,
                    sector=sector,
                    deals=world.ledger.deals_of(sector),
                    beacons=beacons,
                ),
                folder,
            )
            answered.add(hashlib.sha256(proof).digest())
            sector_proof = SectorProof(number=sector.number, proof_cid=judge.take(proof))
            bob.worker.does(
                SubmitWindowPost(
                    provider_id=bob.id, window_epoch=sector.window_epoch, proofs=(sector_proof,)
                )
            )
        world.passes(epochs=1)
    assert all(deal.ends_as(DealState.COMPLETED) for deal in deals)
    assert all(deal.now.refunded_atto == 0 for deal in deals)
    assert len(answered) == deals[-1].now.windows_proven
