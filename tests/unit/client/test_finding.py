"""Finding providers: strangers' registrations, asks and addresses cost the honest ones nothing."""

from dataclasses import replace
from pathlib import Path

from chain.messages import RegisterProvider
from client.finding import find_candidates
from client.selection import Candidate
from client.session import ASKED_MAX
from ipfs.host import PeerAddress, Stream
from ipfs.p2p.multiaddr import Multiaddr
from market.messages import ASK_PROTOCOL
from tests.support.client_town import Client, Gossip, client_of, town


async def found_by(client: Client) -> tuple[Candidate, ...]:
    return await client.town.passing(find_candidates(client.session))


async def test_only_an_ask_of_its_own_is_believed(tmp_path: Path) -> None:
    async with town(tmp_path) as place, client_of(place) as client:
        honest, forger, stale, foreign, mute, posing = [await place.feigned() for _ in range(6)]
        honest.sells()
        forger.key = honest.key
        forger.sells()
        stale.sells(expires_epoch=place.epoch)
        foreign.sells(chain_id="another")
        posing.sells(provider_id=honest.id)

        async def babble(stream: Stream) -> None:
            await stream.write(b"\x05hello")

        mute.host.handle(ASK_PROTOCOL, babble)
        [candidate] = await found_by(client)
        assert candidate.provider.id == honest.id


async def test_a_rival_under_somebodys_peer_id_does_not_hide_it(tmp_path: Path) -> None:
    async with town(tmp_path) as place, client_of(place) as client:
        honest = await place.feigned()
        honest.sells()
        await place.feigned(honest.host)
        assert [candidate.provider.id for candidate in await found_by(client)] == [honest.id]


async def test_nonsense_in_the_registry_is_passed_over(tmp_path: Path) -> None:
    async with town(tmp_path) as place, client_of(place) as client:
        honest = await place.feigned()
        honest.sells()
        for peer_id, address in (
            ("nobody", "/ip4/1.2.3.4/tcp/1"),
            (str(client.peer.peer_id), "/ip4/1.2.3.4/tcp/1"),
            (str(honest.host.peer_id), "\x1b[2J"),
            (str(honest.host.peer_id), "/ip4/1.2.3.4/" + "x" * 200),
        ):
            entry = RegisterProvider(
                worker=client.payer.address, peer_id=peer_id, addresses=(address,)
            )
            await place.passing(client.payer.sender.send(entry))
        assert [candidate.provider.id for candidate in await found_by(client)] == [honest.id]


async def test_the_dht_adds_addresses_and_takes_none_away(tmp_path: Path) -> None:
    async with town(tmp_path) as place, client_of(place) as client:
        honest = await place.feigned()
        honest.sells()
        elsewhere = Multiaddr.parse("/ip4/127.0.0.1/tcp/9")
        lie = Gossip(PeerAddress(honest.host.peer_id, (elsewhere,)), client.peer)
        session = replace(client.session, routing=lie)
        [candidate] = await place.passing(find_candidates(session))
        assert candidate.peer.addresses == (*honest.host.addresses, elsewhere)


async def test_many_are_asked_a_few_at_a_time_and_not_for_ever(tmp_path: Path) -> None:
    async with town(tmp_path) as place, client_of(place) as client:
        asked = answered = most = 0

        async def visit(number: int) -> None:
            nonlocal asked, answered, most
            asked += 1
            most = max(most, asked - answered)
            await place.network.add_host().close()
            answered += 1

        await client.session.visit_all(range(1_000), visit)
        assert (asked, answered, most) == (1_000, 1_000, ASKED_MAX)

        async def hang(number: int) -> None:
            await place.ledger.head_after(10**9)

        config = client.session.config.model_copy(update={"find_seconds": 0.01})
        hurried = replace(client.session, config=config)
        await hurried.visit_all(range(1_000), hang)
