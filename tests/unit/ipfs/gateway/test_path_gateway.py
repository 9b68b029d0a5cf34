"""Files and folders over real HTTP, as a browser would ask for them."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, urlsplit

import httpx
import pytest

from ipfs import dag_cbor
from ipfs.block import Block
from ipfs.blockstore import MemoryBlockstore
from ipfs.cid import CID, Codec
from ipfs.dag_pb import PBLink, PBNode
from ipfs.gateway.headers import IMMUTABLE
from ipfs.host import PeerAddress
from ipfs.ipns import IpnsRecord, routing_key, validity_at
from ipfs.p2p.memory import MemoryNetwork
from ipfs.p2p.peer_id import Identity, PeerId
from ipfs.unixfs.chunker import FixedSize
from ipfs.unixfs.header import Header, NodeType
from ipfs.unixfs.profiles import UNIXFS_V1_2025
from tests.support.bitswap import ScriptedPeer, node, silent, store_of, until, where
from tests.support.client_town import Gossip
from tests.support.gateway import NOW_NS, add_fixture, add_folder, gateway_over, raw_status

SMALL_CHUNKS = replace(UNIXFS_V1_2025, chunker=FixedSize(1_000), links_per_node_max=4)
BIG = bytes(range(256)) * 40


@pytest.fixture
def store() -> MemoryBlockstore:
    return MemoryBlockstore()


@pytest.fixture
def root(store: MemoryBlockstore, tmp_path: Path) -> CID:
    files = {
        "big.bin": BIG,
        "site/index.html": b"<h1>hello</h1>",
        "site/logo.svg": b"<svg/>",
        "docs/a b & <c>.txt": b"text",
        "docs/empty": b"",
    }
    return add_folder(store, files, tmp_path / "folder", SMALL_CHUNKS)


async def test_a_file_is_its_bytes_with_all_that_caches_need(
    store: MemoryBlockstore, root: CID
) -> None:
    async with gateway_over(store) as client:
        answer = await client.get(f"/ipfs/{root}/big.bin")
        roots = answer.headers["x-ipfs-roots"].split(",")
        assert (answer.status_code, answer.content) == (200, BIG)
        assert answer.headers["content-length"] == str(len(BIG))
        assert answer.headers["etag"] == f'"{roots[-1]}"'
        assert roots[0] == str(root)
        assert len(roots) == 2
        assert answer.headers["x-ipfs-path"] == f"/ipfs/{root}/big.bin"
        assert answer.headers["cache-control"] == IMMUTABLE
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"].startswith("sandbox")
        assert answer.headers["access-control-allow-origin"] == "*"
        again = await client.get(
            f"/ipfs/{root}/big.bin", headers={"If-None-Match": answer.headers["etag"]}
        )
        assert (again.status_code, again.content) == (304, b"")
        pdf = await client.get(f"/ipfs/{root}/big.bin?filename=big.pdf")
        assert pdf.headers["content-type"] == "application/pdf"
        assert "content-security-policy" not in pdf.headers, "Chrome shows none in a sandbox"


async def test_head_says_what_get_would_and_sends_nothing(
    store: MemoryBlockstore, root: CID
) -> None:
    async with gateway_over(store) as client:
        for query in ("", "?format=raw", "?format=car"):
            url = f"/ipfs/{root}/big.bin{query}"
            head, get = await client.head(url), await client.get(url)
            assert (head.status_code, head.content) == (200, b"")
            for name in ("etag", "content-type", "x-ipfs-roots"):
                assert head.headers[name] == get.headers[name]
            if "content-length" in get.headers:
                assert head.headers["content-length"] == get.headers["content-length"]


@pytest.mark.parametrize(
    ("header", "chosen"),
    [
        ("bytes=0-0", slice(0, 1)),
        ("bytes=999-1000", slice(999, 1001)),
        ("bytes=5000-", slice(5000, None)),
        ("bytes=-7", slice(-7, None)),
        ("bytes=0-99999", slice(None)),
    ],
)
async def test_a_range_is_sent_alone(
    store: MemoryBlockstore, root: CID, header: str, chosen: slice
) -> None:
    async with gateway_over(store) as client:
        answer = await client.get(f"/ipfs/{root}/big.bin", headers={"Range": header})
        assert (answer.status_code, answer.content) == (206, BIG[chosen])
        first, last, _ = chosen.indices(len(BIG))
        assert answer.headers["content-range"] == f"bytes {first}-{last - 1}/{len(BIG)}"


async def test_a_range_touches_only_the_blocks_that_hold_it(
    store: MemoryBlockstore, root: CID
) -> None:
    async with gateway_over(store) as client:
        [raw] = [c for c in store if c.codec == Codec.RAW and store.get(c).data == BIG[:1000]]
        store.delete([raw])
        url = f"/ipfs/{root}/big.bin"
        assert (await client.get(url, headers={"Range": "bytes=1000-"})).content == BIG[1000:]
        assert (await client.get(url, headers={"Range": "bytes=999-"})).status_code == 404


async def test_a_range_outside_is_refused_and_several_get_the_whole(
    store: MemoryBlockstore, root: CID
) -> None:
    async with gateway_over(store) as client:
        url = f"/ipfs/{root}/big.bin"
        beyond = await client.get(url, headers={"Range": f"bytes={len(BIG)}-"})
        assert beyond.status_code == 416
        assert beyond.headers["content-range"] == f"bytes */{len(BIG)}"
        several = await client.get(url, headers={"Range": "bytes=0-1,5-6"})
        assert (several.status_code, several.content) == (200, BIG)


async def test_a_folder_without_a_slash_is_sent_to_the_one_with(
    store: MemoryBlockstore, root: CID
) -> None:
    async with gateway_over(store) as client:
        for path in ("", "/site"):
            answer = await client.get(f"/ipfs/{root}{path}?download=false")
            assert answer.status_code == 301
            assert answer.headers["location"] == f"/ipfs/{root}{path}/?download=false"


async def test_a_folder_with_an_index_is_the_index(store: MemoryBlockstore, root: CID) -> None:
    async with gateway_over(store) as client:
        answer = await client.get(f"/ipfs/{root}/site/")
        assert answer.text == "<h1>hello</h1>"
        assert answer.headers["content-type"] == "text/html; charset=utf-8"


async def test_a_listing_escapes_its_names_and_runs_nothing(
    store: MemoryBlockstore, root: CID
) -> None:
    async with gateway_over(store) as client:
        answer = await client.get(f"/ipfs/{root}/docs/")
        assert "a b &amp; &lt;c&gt;.txt" in answer.text
        assert 'href="./a%20b%20%26%20%3Cc%3E.txt"' in answer.text
        assert "<c>" not in answer.text
        assert 'href="?format=car"' in answer.text
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert answer.headers["etag"].startswith('"DirIndex-')
        assert "immutable" not in answer.headers["cache-control"]
        file = await client.get(f"/ipfs/{root}/docs/" + quote("a b & <c>.txt"))
        assert file.content == b"text"


async def test_hostile_names_of_a_strangers_folder_stay_names(store: MemoryBlockstore) -> None:
    names = ['"><script>alert(1)', "javascript:alert(1)", "\u202egnp.exe", "%2e%2e", "'"]
    empty = Block.of(Codec.RAW, b"")
    links = tuple(PBLink(empty.cid, name=name, tsize=0) for name in sorted(names))
    header = Header(NodeType.DIRECTORY).encode()
    folder = Block.of(Codec.DAG_PB, PBNode(links, header).encode())
    store.put([folder, empty])
    async with gateway_over(store) as client:
        page = (await client.get(f"/ipfs/{folder.cid}/")).text
        assert page.startswith("<!doctype html>")
        assert "<script" not in page
        assert 'href="javascript' not in page
        for name in names:
            url = f"/ipfs/{folder.cid}/{quote(name, safe='')}"
            answer = await client.get(url, params={"download": "true"})
            assert answer.status_code == 200
            assert answer.headers["x-ipfs-path"].isascii()
            assert answer.headers["content-disposition"].startswith("attachment; filename=")


async def test_a_filename_can_not_add_a_header(store: MemoryBlockstore, root: CID) -> None:
    async with gateway_over(store) as client:
        evil = "a\r\nSet-Cookie: stolen=1\r\n\r\n<script>\u0442"
        answer = await client.get(f"/ipfs/{root}/big.bin", params={"filename": evil})
        assert answer.status_code == 200
        assert "set-cookie" not in answer.headers
        assert answer.content == BIG


@pytest.mark.parametrize(
    ("rest", "status"),
    [
        (b"/../../etc/passwd", 400),
        (b"/%2e%2e/%2e%2e", 400),
        (b"/docs%2fempty", 400),
        (b"/%00", 400),
        (b"//docs", 400),
        (b"/" + b"a" * 10_000, 414),
        (b"/no/such", 404),
        (b"/big.bin/inside", 404),
    ],
)
async def test_a_hostile_path_is_answered_and_the_gateway_lives(
    store: MemoryBlockstore, root: CID, rest: bytes, status: int
) -> None:
    async with gateway_over(store) as client:
        assert await raw_status(client, f"/ipfs/{root}".encode() + rest) == status
        assert await raw_status(client, b"/ipfs") == 400
        assert (await client.post(f"/ipfs/{root}")).status_code == 405
        assert (await client.get(f"/ipfs/{root}/docs/empty")).content == b""


async def test_a_missing_block_is_said_so_and_names_the_part(
    store: MemoryBlockstore, root: CID
) -> None:
    async with gateway_over(store) as client:
        missing = CID.of(Codec.RAW, b"nowhere")
        answer = await client.get(f"/ipfs/{missing}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not-found")
        assert "site/nothing" in (await client.get(f"/ipfs/{root}/site/nothing")).json()["detail"]
        assert (
            await client.get(f"/ipfs/{root}/a", headers={"Accept": "application/x-tar"})
        ).json()["code"] == "not-acceptable"


async def test_what_the_operator_denies_is_gone_however_it_is_reached(
    store: MemoryBlockstore, root: CID
) -> None:
    async with gateway_over(store) as client:
        roots = (await client.get(f"/ipfs/{root}/site/logo.svg")).headers["x-ipfs-roots"]
    logo = CID.parse(roots.split(",")[-1])
    async with gateway_over(store, denied=[logo.multihash]) as client:
        for url in (f"/ipfs/{root}/site/logo.svg", f"/ipfs/{logo}", f"/ipfs/{logo}?format=raw"):
            assert (await client.get(url)).status_code == 410
        assert (await client.get(f"/ipfs/{root}/site/")).status_code == 200


async def test_paths_go_through_dag_cbor_and_stop_at_its_values(
    store: MemoryBlockstore, root: CID
) -> None:
    block = Block.of(Codec.DAG_CBOR, dag_cbor.encode({"list": [1, {"site": root}], "n": 5}))
    store.put([block])
    async with gateway_over(store) as client:
        deep = await client.get(f"/ipfs/{block.cid}/list/1/site/docs/empty")
        assert deep.status_code == 200
        whole = await client.get(f"/ipfs/{block.cid}")
        assert whole.content == block.data
        assert whole.headers["content-type"] == "application/vnd.ipld.dag-cbor"
        assert (await client.get(f"/ipfs/{block.cid}/n")).status_code == 501
        assert (await client.get(f"/ipfs/{block.cid}/list/01")).status_code == 404
        assert (await client.get(f"/ipfs/{block.cid}?format=dag-json")).status_code == 406
        assert (await client.get(f"/ipfs/{block.cid}?format=dag-cbor")).status_code == 200


async def test_foreign_folders_are_served(store: MemoryBlockstore) -> None:
    """Fixtures of ipfs/gateway-conformance: names with percent signs, links, a sharded folder."""
    escaped = add_fixture(store, "1b3ce044b85a7ca4")
    symlinks = add_fixture(store, "e7d27d5ce64ce2a4")
    sharded = add_fixture(store, "c4a1c55b99df34a2")
    async with gateway_over(store) as client:
        name = "Portugal%2C+España=Peninsula Ibérica.txt"
        page = (await client.get(f"/ipfs/{escaped}/")).text
        assert quote(name, safe="") in page
        assert (await client.get(f"/ipfs/{escaped}/{quote(name, safe='')}")).status_code == 200
        assert (await client.get(f"/ipfs/{symlinks}/bar")).content == b"foo"
        assert (await client.get(f"/ipfs/{symlinks}/foo")).content == b"content\n"
        assert (await client.get(f"/ipfs/{sharded}/1.txt")).status_code == 200
        assert (await client.get(f"/ipfs/{sharded}/")).text.count("<li>") == 1_000


async def test_any_page_may_read(store: MemoryBlockstore, root: CID) -> None:
    async with gateway_over(store) as client:
        answer = await client.options(f"/ipfs/{root}", headers={"Origin": "https://example.org"})
        assert answer.status_code == 204
        assert answer.headers["access-control-allow-methods"] == "GET, HEAD, OPTIONS"


class Records:
    """A routing that keeps the records that a test gives it, good ones or not."""

    def __init__(self, records: dict[PeerId, IpnsRecord]) -> None:
        self._values = {routing_key(name): record.encode() for name, record in records.items()}
        self.asked: list[bytes] = []

    async def put_value(self, key: bytes, value: bytes) -> int:
        return 0

    async def get_value(self, key: bytes) -> bytes | None:
        self.asked.append(key)
        return self._values.get(key)


def record_of(owner: Identity, path: str, *, seconds: int) -> IpnsRecord:
    validity = validity_at(NOW_NS + seconds * 10**9)
    return IpnsRecord.create(owner, path, sequence=1, validity=validity)


@pytest.fixture
def owners() -> Iterator[Identity]:
    return (Identity.from_seed(bytes([number]) * 32) for number in range(16))


async def test_a_name_leads_to_content_and_caches_keep_it_as_long_as_its_record_holds(
    store: MemoryBlockstore, root: CID, owners: Iterator[Identity]
) -> None:
    site, alias, expired, forged, lost = (next(owners) for _ in range(5))
    names = Records(
        {
            site.peer_id: record_of(site, f"/ipfs/{root}/site", seconds=60),
            alias.peer_id: record_of(alias, f"/ipns/{site.peer_id.to_cid_text()}", seconds=9_999),
            expired.peer_id: record_of(expired, f"/ipfs/{root}", seconds=-1),
            forged.peer_id: record_of(site, f"/ipfs/{root}", seconds=60),
        }
    )
    async with gateway_over(store, names=names) as client:
        for owner in (site, alias):
            answer = await client.get(f"/ipns/{owner.peer_id}/index.html")
            assert answer.text == "<h1>hello</h1>"
            assert answer.headers["cache-control"] == "public, max-age=60"
            assert answer.headers["x-ipfs-path"].startswith("/ipns/")
            moved = await client.get(f"/ipns/{owner.peer_id.to_cid_text()}")
            assert moved.headers["location"] == f"/ipns/{owner.peer_id.to_cid_text()}/"
        for owner in (expired, forged, lost):
            assert (await client.get(f"/ipns/{owner.peer_id}/index.html")).status_code == 404
        record = await client.get(
            f"/ipns/{site.peer_id}",
            headers={"Accept": "application/vnd.ipfs.ipns-record"},
        )
        assert record.headers["content-type"] == "application/vnd.ipfs.ipns-record"
        IpnsRecord.decode(record.content).verify(site.peer_id, now_ns=NOW_NS)


async def test_a_page_that_we_make_of_a_named_folder_is_kept_no_longer_than_the_record_holds(
    store: MemoryBlockstore, root: CID, owners: Iterator[Identity]
) -> None:
    owner = next(owners)
    names = Records({owner.peer_id: record_of(owner, f"/ipfs/{root}", seconds=60)})
    async with gateway_over(store, names=names) as client:
        listing = await client.get(f"/ipns/{owner.peer_id}/docs/")
        assert "<ul>" in listing.text
        assert listing.headers["cache-control"] == "public, max-age=60"


async def test_a_record_says_its_path_as_it_is_and_not_as_a_url(
    store: MemoryBlockstore, owners: Iterator[Identity], tmp_path: Path
) -> None:
    root = add_folder(store, {"a%62": b"as it is", "ab": b"as a URL"}, tmp_path / "signs")
    owner = next(owners)
    names = Records({owner.peer_id: record_of(owner, f"/ipfs/{root}/a%62", seconds=60)})
    async with gateway_over(store, names=names) as client:
        assert (await client.get(f"/ipns/{owner.peer_id}")).text == "as it is"


async def test_a_name_is_looked_up_once_while_its_record_may_be_gone_on_with(
    store: MemoryBlockstore, root: CID, owners: Iterator[Identity]
) -> None:
    lasting, brief = next(owners), next(owners)
    brief_record = IpnsRecord.create(
        brief, f"/ipfs/{root}", sequence=1, validity=validity_at(NOW_NS + 10**12), ttl_ns=0
    )
    names = Records(
        {
            lasting.peer_id: record_of(lasting, f"/ipfs/{root}", seconds=60),
            brief.peer_id: brief_record,
        }
    )
    async with gateway_over(store, names=names) as client:
        for owner, asked_count in ((lasting, 1), (brief, 8)):
            url = f"/ipns/{owner.peer_id}/docs/empty"
            for _ in range(8):
                assert (await client.get(url)).status_code == 200
            assert names.asked.count(routing_key(owner.peer_id)) == asked_count


async def test_names_in_a_circle_lead_nowhere(owners: Iterator[Identity]) -> None:
    one, other = next(owners), next(owners)
    names = Records(
        {
            one.peer_id: record_of(one, f"/ipns/{other.peer_id}", seconds=60),
            other.peer_id: record_of(other, f"/ipns/{one.peer_id}", seconds=60),
        }
    )
    async with gateway_over(MemoryBlockstore(), names=names) as client:
        assert (await client.get(f"/ipns/{one.peer_id}")).status_code == 404


async def test_what_is_not_stored_is_fetched_and_only_if_cached_forbids_that(
    store: MemoryBlockstore, root: CID
) -> None:
    here = MemoryBlockstore()
    async with (
        MemoryNetwork() as network,
        node(network, [store.get(cid) for cid in store]) as (host, _, _),
        gateway_over(here, network=network, routing=Gossip(where(host))) as client,
    ):
        url = f"/ipfs/{root}/big.bin"
        only = {"Cache-Control": "only-if-cached"}
        assert (await client.get(url, headers=only)).status_code == 412
        assert (await client.get(url)).content == BIG
        car = await client.get(f"/ipfs/{root}?format=car")
        assert len(car.content) > len(BIG)
        assert (await client.get(url, headers=only)).status_code == 200
        assert not list(here), "visitors can't fill the disk"


class Signposts(Gossip):
    """A routing that knows who has one CID, and of no other."""

    def __init__(self, cid: CID, *peers: PeerAddress) -> None:
        super().__init__(*peers)
        self._cid = cid

    async def find_providers(
        self, cid: CID, *, count_max: int | None = None
    ) -> AsyncIterator[PeerAddress]:
        if cid == self._cid:
            async for peer in super().find_providers(cid, count_max=count_max):
                yield peer


async def test_who_provides_the_root_is_asked_for_what_is_below_it(
    store: MemoryBlockstore, root: CID
) -> None:
    async with MemoryNetwork() as network, node(network, map(store.get, store)) as (host, _, _):
        signposts = Signposts(root, where(host))
        async with gateway_over(MemoryBlockstore(), network=network, routing=signposts) as client:
            assert (await client.get(f"/ipfs/{root}/big.bin")).content == BIG


async def test_a_block_that_the_roots_provider_lacks_is_looked_for_by_itself(
    store: MemoryBlockstore, root: CID
) -> None:
    [first] = [cid for cid in store if store.get(cid).data == BIG[:1000]]
    rest = [store.get(cid) for cid in store if cid != first]
    async with (
        MemoryNetwork() as network,
        node(network, [store.get(first)]) as (host, _, _),
        gateway_over(
            store_of(rest), network=network, routing=Signposts(first, where(host))
        ) as client,
    ):
        assert (await client.get(f"/ipfs/{root}/big.bin")).content == BIG


async def test_what_nobody_gives_may_be_asked_for_again(store: MemoryBlockstore) -> None:
    async with (
        MemoryNetwork() as network,
        gateway_over(store, network=network, routing=Gossip()) as client,
    ):
        answer = await client.get(f"/ipfs/{CID.of(Codec.RAW, b'nowhere')}")
        assert (answer.status_code, answer.json()["code"]) == (502, "unavailable")
        assert int(answer.headers["retry-after"]) > 0


async def test_a_late_first_byte_is_a_timeout(
    store: MemoryBlockstore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ipfs.gateway.api.FIRST_BYTE_SECONDS", 0.05)
    async with MemoryNetwork() as network:
        mute = ScriptedPeer(network, silent)
        routing = Gossip(mute.address)
        async with gateway_over(store, network=network, routing=routing) as client:
            answer = await client.get(f"/ipfs/{CID.of(Codec.RAW, b'nowhere')}")
            assert (answer.status_code, answer.json()["code"]) == (504, "timeout")


async def test_no_more_requests_are_served_at_a_time_than_there_is_room_for(
    store: MemoryBlockstore, root: CID
) -> None:
    async with MemoryNetwork() as network:
        mute = ScriptedPeer(network, silent)
        async with gateway_over(
            store, network=network, routing=Gossip(mute.address), requests_max=1
        ) as client:
            missing = CID.of(Codec.RAW, b"nowhere")
            slow = asyncio.create_task(client.get(f"/ipfs/{missing}"))
            await until(lambda: bool(mute.heard))
            refused = await client.get(f"/ipfs/{root}/docs/empty")
            assert (refused.status_code, refused.json()["code"]) == (429, "too-many-requests")
            assert (await slow).status_code == 502
            assert (await client.get(f"/ipfs/{root}/docs/empty")).status_code == 200


async def test_who_hangs_up_frees_the_place(store: MemoryBlockstore, tmp_path: Path) -> None:
    large = add_folder(store, {"x": bytes(64 << 20)}, tmp_path / "large", UNIXFS_V1_2025)
    async with gateway_over(store, requests_max=1) as client:
        url = urlsplit(str(client.base_url))
        reader, writer = await asyncio.open_connection(url.hostname, url.port)
        writer.write(f"GET /ipfs/{large}/x HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
        assert (await client.head(f"/ipfs/{large}/x")).status_code == 429
        writer.transport.abort()
        async with asyncio.timeout(120):
            while (await client.head(f"/ipfs/{large}/x")).status_code == 429:  # noqa: ASYNC110
                await asyncio.sleep(0)


async def test_a_file_that_breaks_off_is_seen_to_be_broken(
    store: MemoryBlockstore, root: CID
) -> None:
    async with gateway_over(store) as client:
        store.delete([cid for cid in store if store.get(cid).data == BIG[9_000:10_000]])
        for query in ("", "?format=car"):
            with pytest.raises(httpx.RemoteProtocolError):
                await client.get(f"/ipfs/{root}/big.bin{query}")
        assert (await client.get(f"/ipfs/{root}/docs/empty")).status_code == 200
