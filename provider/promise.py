"""What a provider alone knows: the deals it promised, and which sector it gives them."""

from contextlib import suppress
from typing import Annotated

from pydantic import Field

from chain.deal import DealProposal
from chain.sector import Node
from chain.units import Epoch, SectorNumber
from ipfs.cid import CID
from ipfs.errors import MalformedBytes
from ipfs.host import PeerAddress
from ipfs.p2p.multiaddr import Multiaddr
from ipfs.p2p.peer_id import PeerId
from ipfs.record import Record
from market.messages import Accept, Propose
from proofs.parameters import ProofType


class Promise(Record):
    """A proposal that was accepted; kept from before the acceptance is sent.

    is_received:     its blocks are here, and their commitment is the proposal's
    closed_because:  why nothing more is to be done for it; None while there is
    """

    propose: Propose
    acceptance: Accept
    is_received: bool = False
    closed_because: str | None = None

    @property
    def proposal(self) -> DealProposal:
        """Return the proposal itself."""
        return self.propose.proposal

    @property
    def proposal_cid(self) -> CID:
        """Return its name."""
        return self.acceptance.proposal_cid

    @property
    def is_open(self) -> bool:
        """Whether it still asks something of us."""
        return self.closed_because is None


class Commitments(Record):
    """What sealing came to: the roots of the data and of the replica."""

    comm_d: Node
    comm_r: Node


class SectorPlan(Record):
    """A sector's number, given to these deals before anything is done with it; never reused.

    proposal_cids:  in the order in which their pieces lie
    ticket_epoch:   whose beacon the replica is bound to; None before sealing has begun
    sealed:         None before sealing has ended
    scrubbed_epoch: when the replica was read again last
    is_trimmed:     what only the proof of replication needed is deleted
    is_cleared:     the sector is over, and nothing of it is left on the disk
    """

    number: SectorNumber
    proof_type: ProofType
    proposal_cids: Annotated[tuple[CID, ...], Field(min_length=1)]
    ticket_epoch: Epoch | None = None
    sealed: Commitments | None = None
    scrubbed_epoch: Epoch | None = None
    is_trimmed: bool = False
    is_cleared: bool = False


def client_of(propose: Propose) -> PeerAddress:
    """Return where the client's blocks are served; addresses of unknown kinds are passed over.

    Raises: `MalformedBytes` if it names no peer.
    """
    addresses = []
    for text in propose.client_addresses:
        with suppress(MalformedBytes):
            addresses.append(Multiaddr.parse(text))
    return PeerAddress(PeerId.parse(propose.client_peer_id), tuple(addresses))
