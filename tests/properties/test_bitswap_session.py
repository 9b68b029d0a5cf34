"""Random histories of one session: whatever peers do, each want has somebody to wait for, or none.

That is what lets a fetch sleep until the session's deadline without ever being forgotten.
"""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ipfs.bitswap.messages import Message, Presence, PresenceType, WantType
from ipfs.bitswap.session import Session
from ipfs.bitswap.supplier import REQUESTS_MAX
from ipfs.cid import CID
from ipfs.p2p.peer_id import PeerId
from tests.support.bitswap import leaf
from tests.support.kad import peer

PEERS = [peer(number) for number in range(4)]
LEAVES = [leaf(number) for number in range(8)]
IDLE_S = 10.0

peers = st.sampled_from(PEERS)
indices = st.integers(0, len(LEAVES) - 1)


class Fetching(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.session = Session(idle_timeout_s=IDLE_S)
        self.now_s = 0.0
        self.wanted: set[CID] = set()
        self.asked: dict[PeerId, set[CID]] = {peer_id: set() for peer_id in PEERS}

    @rule(peer_id=peers)
    def meet(self, peer_id: PeerId) -> None:
        self.session.add_peer(peer_id, self.now_s)

    @rule(wanted=st.sets(indices, min_size=1, max_size=4))
    def want(self, wanted: set[int]) -> None:
        cids = [LEAVES[index].cid for index in wanted]
        self.session.want(cids, self.now_s)
        self.wanted |= set(cids)

    @rule(peer_id=peers, index=indices, presence_type=st.sampled_from(PresenceType))
    def hear_presence(self, peer_id: PeerId, index: int, presence_type: PresenceType) -> None:
        message = Message(presences=(Presence(LEAVES[index].cid, presence_type),))
        assert self.session.receive(peer_id, message, self.now_s) == []

    @rule(peer_id=peers, indices=st.sets(indices, max_size=3))
    def hear_blocks(self, peer_id: PeerId, indices: set[int]) -> None:
        sent = tuple(LEAVES[index] for index in indices)
        arrived = self.session.receive(peer_id, Message(blocks=sent), self.now_s)
        assert {block.cid for block in arrived} == {b.cid for b in sent} & self.wanted
        self.wanted -= {block.cid for block in arrived}

    @rule(peer_id=peers)
    def lose(self, peer_id: PeerId) -> None:
        self.session.drop_peer(peer_id, "disconnected", self.now_s)

    @rule(seconds=st.sampled_from([0.0, 1.0, IDLE_S / 2, IDLE_S]))
    def wait(self, seconds: float) -> None:
        self.now_s += seconds
        self.session.expire(self.now_s)

    @rule(index=indices)
    def abandon(self, index: int) -> None:
        self.session.abandon([LEAVES[index].cid])
        self.wanted.discard(LEAVES[index].cid)

    @invariant()
    def each_want_has_somebody_to_wait_for_or_none(self) -> None:
        hopeless = set(self.session.hopeless())
        assert hopeless <= self.wanted
        if self.wanted - hopeless:
            deadline_s = self.session.deadline_s
            assert deadline_s is not None
            assert deadline_s <= self.now_s + IDLE_S

    @invariant()
    def what_is_asked_is_wanted_and_what_is_not_is_cancelled(self) -> None:
        for peer_id, want in self.session.take_requests():
            if want.cancel:
                self.asked[peer_id].discard(want.cid)
            else:
                assert want.send_dont_have
                assert peer_id not in self.session.dropped
                self.asked[peer_id].add(want.cid)
            if want.want_type is WantType.BLOCK:
                assert len(self.asked[peer_id]) <= REQUESTS_MAX

    def teardown(self) -> None:
        for _ in PEERS:
            self.session.expire(self.now_s)
            self.now_s += IDLE_S
        self.session.expire(self.now_s)
        assert set(self.session.hopeless()) == self.wanted, "silence ends every hope"


Fetching.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestFetching = Fetching.TestCase
