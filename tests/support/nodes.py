"""A ledger node whose epochs a test closes by hand, and a provider that really seals and proves."""

import asyncio
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from chain import randomness, statements
from chain.block import LedgerBlock, Receipt
from chain.closing import LedgerKeys
from chain.config import LedgerConfig
from chain.deadline import open_windows
from chain.deal import DealProposal
from chain.genesis import open_chain
from chain.keys import Address, SigningKey
from chain.local import LocalLedger
from chain.messages import (
    Body,
    DrawFaucet,
    Message,
    PreCommitSectors,
    ProveCommitSectors,
    PublishDeals,
    RegisterProvider,
    ReserveEscrow,
    SectorPreCommit,
    SectorProof,
    SignedMessage,
    SubmitWindowPost,
)
from chain.node import LedgerNode
from chain.pulse import Pulses
from chain.sector import Sector
from chain.store import DATABASE_NAME, LedgerStore
from chain.units import ATTO_PER_TOKEN, Atto, DealId, Epoch, ProviderId, SectorNumber
from ipfs.block import Block
from ipfs.cid import CID, Codec
from ipfs.piece_cid import piece_cid_v2
from proofs.drand import Round
from proofs.parameters import ProofType
from proofs.piece import comm_p
from proofs.registry import parameters_of, prove_replication, prove_window
from proofs.replica import replica_id
from proofs.seal import seal
from tests.support.sectors import some_bytes, write_pieces

SOME_ATTO = Atto(100 * ATTO_PER_TOKEN)
PROOF_TYPE = ProofType.SDR_2KIB


def key_of(name: str) -> SigningKey:
    """Return a person's key, always the same."""
    return SigningKey(hashlib.sha256(name.encode()).digest())


@dataclass
class HandClock:
    """Milliseconds that pass when a test says so."""

    milliseconds: int = 1_700_000_000_000

    def __call__(self) -> int:
        return self.milliseconds

    def passes(self, seconds: int) -> None:
        self.milliseconds += 1_000 * seconds


@dataclass
class SteppedLedger:
    """A node on a folder; `closes` ends an epoch, a second after the one before."""

    folder: Path
    store: LedgerStore
    keys: LedgerKeys
    node: LedgerNode
    clock: HandClock
    ledger: LocalLedger = field(init=False)

    def __post_init__(self) -> None:
        self.ledger = LocalLedger(self.node)

    @property
    def epoch(self) -> Epoch:
        """The newest block's."""
        return self.node.head.header.epoch

    def address(self, name: str) -> Address:
        return key_of(name).address(self.node.genesis.policy.address_prefix)

    async def closes(self, epochs: int = 1) -> LedgerBlock:
        assert epochs > 0
        for _ in range(epochs):
            self.clock.passes(self.node.genesis.policy.epoch_seconds)
            block = await self.node.close_epoch()
        return block

    async def signed(
        self, name: str, body: Body, *, nonce: int | None = None, expires_in: int = 20
    ) -> SignedMessage:
        state = await self.ledger.sender(self.address(name))
        message = Message(
            chain_id=self.node.genesis.chain_id,
            sender=self.address(name),
            nonce=state.next_nonce if nonce is None else nonce,
            expires_epoch=Epoch(self.epoch + expires_in),
            body=body,
        )
        return SignedMessage.sign(message, key_of(name))

    async def does(self, name: str, body: Body, proofs: Sequence[Block] = ()) -> Receipt:
        """Say something and close the epoch with it; all of it stands."""
        message_id = await self.ledger.submit(await self.signed(name, body), proofs)
        await self.closes()
        receipt = await self.ledger.receipt(message_id)
        assert receipt.is_done, receipt
        assert not receipt.refusals, receipt
        return receipt

    async def hears(self, sender: Address, count: int) -> None:
        """Return once the sender has said so much in all."""
        while (await self.ledger.sender(sender)).next_nonce < count:  # noqa: ASYNC110  no event
            await asyncio.sleep(0)

    async def funds(self, *names: str) -> None:
        for name in names:
            body = DrawFaucet(amount_atto=SOME_ATTO)
            await self.ledger.submit(await self.signed(name, body))
        await self.closes()


@contextmanager
def stepped_ledger(
    folder: Path,
    config: LedgerConfig | None = None,
    *,
    clock: HandClock | None = None,
    pulses: Pulses | None = None,
    published: Round | None = None,
) -> Iterator[SteppedLedger]:
    """A node on the folder's chain, begun if there is none."""
    folder.mkdir(exist_ok=True)
    clock = clock or HandClock()
    store = LedgerStore(f"sqlite:///{folder / DATABASE_NAME}")
    store.create_tables()
    keys = open_chain(
        store,
        config or LedgerConfig(),
        folder=folder,
        timestamp_milliseconds=clock(),
        published=published,
    )
    node = LedgerNode(store, keys, pulses=pulses, clock=clock)
    try:
        yield SteppedLedger(folder, store, keys, node, clock)
    finally:
        node.close()
        store.close()


@dataclass
class SealingProvider:
    """A provider of 2 KiB sectors, with real replicas in a folder."""

    on: SteppedLedger
    name: str
    id: ProviderId
    folder: Path

    @classmethod
    async def registers(cls, on: SteppedLedger, name: str, folder: Path) -> "SealingProvider":
        worker = on.address(f"{name}'s worker")
        body = RegisterProvider(worker=worker, peer_id=f"peer of {name}", addresses=())
        receipt = await on.does(name, body)
        [provider_id] = receipt.created_ids
        return cls(on, name, ProviderId(provider_id), folder)

    @property
    def worker(self) -> str:
        return f"{self.name}'s worker"

    async def stores(self, client: str, payload: bytes = b"") -> DealId:
        """Take a client's deal from the proposal to its publication."""
        payload = payload or some_bytes("a file", 900)
        proposal = self.proposal(client, payload)
        await self.on.does(client, ReserveEscrow(proposal=proposal))
        body = PublishDeals(provider_id=self.id, proposal_cids=(proposal.cid,))
        [deal_id] = (await self.on.does(self.worker, body)).created_ids
        return DealId(deal_id)

    def proposal(self, client: str, payload: bytes) -> DealProposal:
        policy, piece = self.on.node.genesis.policy, comm_p(payload)
        start = self.on.epoch + 8
        duration = 10 * policy.proving_period_epochs
        return DealProposal(
            piece_cid=piece_cid_v2(
                piece.root, padding_bytes=piece.padding_bytes, height=piece.height
            ),
            piece_size_bytes=piece.padded_size_bytes,
            root_cid=CID.of(Codec.RAW, payload),
            client=self.on.address(client),
            provider_id=self.id,
            start_epoch=Epoch(start),
            end_epoch=Epoch(start + duration),
            publish_by_epoch=Epoch(start),
            price_atto_per_epoch=Atto(1_000),
            collateral_atto=policy.collateral_atto(
                piece_size_bytes=piece.padded_size_bytes,
                duration_epochs=duration,
                price_atto_per_epoch=1_000,
            ),
            chain_id=self.on.node.genesis.chain_id,
            nonce=0,
        )

    async def seals(self, deal_id: DealId, payload: bytes = b"") -> SectorNumber:
        """Seal the deal's piece and pre-commit the sector."""
        payload = payload or some_bytes("a file", 900)
        number, ticket_epoch = SectorNumber(1), Epoch(self.on.epoch - 1)
        deal = await self.on.ledger.deal(deal_id)
        comm_d = statements.data_commitment(PROOF_TYPE, [deal.proposal])
        beacon = await self.on.ledger.beacon(ticket_epoch)
        parameters = parameters_of(PROOF_TYPE)
        replica = replica_id(
            provider_id=self.id,
            sector_number=number,
            ticket=randomness.ticket(
                beacon, chain_id=self.on.node.genesis.chain_id, provider_id=self.id
            ),
            comm_d=comm_d,
            porep_id=parameters.porep_id,
        )
        _, data_path = write_pieces((payload,), parameters, self.folder)
        sealed = seal(parameters, replica, data_path, self.folder / "sealed")
        item = SectorPreCommit(
            number=number,
            proof_type=PROOF_TYPE,
            comm_d=comm_d,
            comm_r=sealed.comm_r,
            ticket_epoch=ticket_epoch,
            deal_ids=(deal_id,),
        )
        await self.on.does(self.worker, PreCommitSectors(provider_id=self.id, sectors=(item,)))
        return number

    async def sector(self, number: SectorNumber) -> Sector:
        sectors = {sector.number: sector for sector in await self.on.ledger.sectors(self.id)}
        return sectors[number]

    async def replication_proof(self, number: SectorNumber) -> tuple[ProveCommitSectors, Block]:
        """Return the proof of a sector's replica; its seed must be out."""
        ledger, genesis = self.on.ledger, self.on.node.genesis
        sector = await self.sector(number)
        statement = statements.replication_statement(
            chain_id=genesis.chain_id,
            sector=sector,
            deals=[await ledger.deal(deal_id) for deal_id in sector.deal_ids],
            ticket_beacon=await ledger.beacon(sector.ticket_epoch),
            seed_beacon=await ledger.beacon(statements.seed_epoch(genesis.policy, sector)),
        )
        proof = Block.of(Codec.RAW, prove_replication(statement, self.folder / "sealed"))
        return self.proves_with(number, proof), proof

    def proves_with(self, number: SectorNumber, proof: Block) -> ProveCommitSectors:
        item = SectorProof(number=number, proof_cid=proof.cid)
        return ProveCommitSectors(provider_id=self.id, proofs=(item,))

    async def activates(self, client: str) -> tuple[DealId, SectorNumber]:
        """Go the whole way to an active deal."""
        deal_id = await self.stores(client)
        number = await self.seals(deal_id)
        await self.on.closes(self.on.node.genesis.policy.seed_delay_epochs)
        body, proof = await self.replication_proof(number)
        await self.on.does(self.worker, body, [proof])
        return deal_id, number

    async def window_answer(self, number: SectorNumber) -> tuple[SubmitWindowPost, Block]:
        """Close epochs until the sector's window is open, then return its proof."""
        while not open_windows([await self.sector(number)], head_epoch=self.on.epoch):
            await self.on.closes()
        ledger, sector = self.on.ledger, await self.sector(number)
        assert sector.window_epoch is not None
        policy = self.on.node.genesis.policy
        statement = statements.window_statement(
            chain_id=self.on.node.genesis.chain_id,
            policy=policy,
            sector=sector,
            deals=[await ledger.deal(deal_id) for deal_id in sector.deal_ids],
            beacons={
                epoch: await ledger.beacon(epoch)
                for epoch in statements.challenged_epochs(policy, sector)
            },
        )
        proof = Block.of(Codec.RAW, prove_window(statement, self.folder / "sealed"))
        item = SectorProof(number=number, proof_cid=proof.cid)
        body = SubmitWindowPost(
            provider_id=self.id, window_epoch=sector.window_epoch, proofs=(item,)
        )
        return body, proof
