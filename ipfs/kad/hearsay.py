"""Who is said to have a block, heard so that nobody drowns out the others."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ipfs.host import PeerAddress
from ipfs.kad.reach import take_addresses
from ipfs.p2p.multiaddr import Multiaddr
from ipfs.p2p.peer_id import PeerId


@dataclass(slots=True)
class _Provider:
    """What was told of one peer: by how many, where it lives; how many addresses were passed on."""

    tellers: int = 0
    addresses: dict[Multiaddr, None] = field(default_factory=dict)
    passed_on: int = 0


class Hearsay:
    """Collects what peers tell of providers; liars can add to it, but hide nobody.

        take(what one peer tells) -> its first news     rest(count) -> the others at the end

    Of each peer only the first news count at once, so that a long list of false providers comes
    after what others tell. A provider is passed on again when more of its addresses are told, as
    the first ones may have been made up.
    """

    def __init__(self, *, own: PeerId, news_per_teller: int) -> None:
        self._own = own
        self._news_per_teller = news_per_teller
        self._providers: dict[PeerId, _Provider] = {}

    def take(self, told: Iterable[PeerAddress]) -> list[PeerAddress]:
        """Hear what one peer tells; return what to pass on now."""
        news: list[PeerAddress] = []
        for peer in told:
            if peer.peer_id == self._own:
                continue
            provider = self._providers.setdefault(peer.peer_id, _Provider())
            provider.tellers += 1
            take_addresses(provider.addresses, peer.addresses)
            if len(news) < self._news_per_teller and _has_news(provider):
                news.append(_pass_on(peer.peer_id, provider))
        return news

    def rest(self, count_max: int) -> Iterator[PeerAddress]:
        """Yield what was not passed on until so many providers were in all, most often told first.

        Those whose address nobody told come last. More addresses of those passed on come first.
        """
        passed_on = {peer_id for peer_id, it in self._providers.items() if it.passed_on}
        by_tellers = sorted(self._providers.items(), key=lambda it: it[1].tellers, reverse=True)
        for peer_id, provider in by_tellers:
            if peer_id in passed_on and _has_news(provider):
                yield _pass_on(peer_id, provider)
        unheard = [it for it in by_tellers if it[0] not in passed_on]
        unheard.sort(key=lambda it: not it[1].addresses)
        for peer_id, provider in unheard[: max(0, count_max - len(passed_on))]:
            yield _pass_on(peer_id, provider)


def _has_news(provider: _Provider) -> bool:
    return len(provider.addresses) > provider.passed_on


def _pass_on(peer_id: PeerId, provider: _Provider) -> PeerAddress:
    provider.passed_on = len(provider.addresses)
    return PeerAddress(peer_id, tuple(provider.addresses))
