"""What a URL and its headers ask for; hostile ones are refused before anything is looked up."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipfs.cid import CID, Codec
from ipfs.gateway.errors import BadRequest, FormatNotAcceptable, GatewayError, PathTooLong
from ipfs.gateway.formats import Format, choose_format
from ipfs.gateway.headers import byte_range, content_type, disposition, etag_matches
from ipfs.gateway.request import CarOptions, ContentPath, EntityRange, GatewayRequest, Scope
from ipfs.p2p.peer_id import Identity
from ipfs.unixfs.errors import UnsafeEntry
from ipfs.unixfs.node import check_name

ROOT = CID.of(Codec.RAW, b"x")
AT_ROOT = f"/ipfs/{ROOT}".encode()


def asked(
    query: str = "", *, path: bytes = AT_ROOT, method: str = "GET", **headers: str
) -> GatewayRequest:
    named: Mapping[str, str] = {name.replace("_", "-"): text for name, text in headers.items()}
    return GatewayRequest.parse(method, path, query.encode(), named)


@pytest.mark.parametrize(
    "rest",
    [
        b"/..",
        b"/a/../b",
        b"/%2e%2e/b",
        b"/.",
        b"/a%2fb",
        b"/a%2F..%2F..%2Fetc%2Fpasswd",
        b"/%00",
        b"/a%0d%0aSet-Cookie:%20x=1",
        b"//a",
        b"/a//b",
        b"/%ff",
        b"/%ed%a0%80",
        b"/" + b"x" * 256,
    ],
)
def test_a_path_that_no_folder_can_have_is_refused(rest: bytes) -> None:
    with pytest.raises(BadRequest):
        ContentPath.parse(AT_ROOT + rest)


@pytest.mark.parametrize(
    "path", [b"", b"/", b"ipfs/x", b"/ipfs", b"/ipfs/", b"/ipfs/no-cid", b"/ipld/" + AT_ROOT[6:]]
)
def test_a_path_that_begins_nowhere_is_refused(path: bytes) -> None:
    with pytest.raises(BadRequest):
        ContentPath.parse(path)


def test_a_host_name_is_no_ipns_name_so_nothing_is_looked_up_for_it() -> None:
    for name in (b"example.org", b"127.0.0.1", b"localhost", b"169.254.169.254"):
        with pytest.raises(BadRequest):
            ContentPath.parse(b"/ipns/" + name)


def test_an_endless_path_is_refused() -> None:
    for rest in (b"/" + b"a" * 5_000, b"/a" * 200):
        with pytest.raises(PathTooLong):
            ContentPath.parse(AT_ROOT + rest)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_path_or_refused(rest: bytes) -> None:
    try:
        path = ContentPath.parse(AT_ROOT + b"/" + rest)
    except GatewayError:
        return
    assert path.text.isascii()
    assert path.text.isprintable()
    assert ContentPath.parse(path.text.encode()) == path


@given(st.lists(st.text(min_size=1, max_size=20), max_size=4))
def test_names_survive_the_url(names: list[str]) -> None:
    path = ContentPath(ROOT, tuple(names))
    try:
        for name in names:
            check_name(name)
    except UnsafeEntry:
        return
    assert ContentPath.parse(path.text.encode()) == path


def test_an_ipns_name_may_be_written_in_any_form() -> None:
    name = Identity.from_seed(bytes(32)).peer_id
    for text in (str(name), name.to_cid_text()):
        assert ContentPath.parse(f"/ipns/{text}/a".encode()) == ContentPath(name, ("a",))


@pytest.mark.parametrize(
    ("query", "accept", "format"),
    [
        (None, "", None),
        (None, "*/*", None),
        (None, "application/vnd.ipld.raw", Format.RAW),
        (None, "text/html,application/xhtml+xml,*/*;q=0.8", None),
        (None, "text/html;q=0.5, application/vnd.ipld.raw", Format.RAW),
        (None, "application/vnd.ipld.car;order=foo, application/vnd.ipld.car;q=0.5", Format.CAR),
        (None, "application/vnd.ipld.raw;q=0", None),
        (None, "application/vnd.ipld.raw;q=junk", None),
        ("raw", "application/vnd.ipld.car", Format.RAW),
        ("car", "text/html", Format.CAR),
    ],
)
def test_the_form_is_what_the_query_says_else_what_is_liked_best(
    query: str | None, accept: str, format: Format | None
) -> None:
    assert choose_format(query, accept).format is format


@pytest.mark.parametrize(
    "parameters", ["version=2", "order=random", "dups=maybe", "version=2; order=dfs"]
)
def test_a_kind_of_car_that_is_not_made_is_refused(parameters: str) -> None:
    with pytest.raises(FormatNotAcceptable):
        asked(accept=f"application/vnd.ipld.car; {parameters}")
    fields = "&".join("car-" + pair.strip() for pair in parameters.split(";"))
    with pytest.raises(FormatNotAcceptable):
        asked(f"format=car&{fields}")


def test_the_query_goes_before_the_parameters_of_the_header() -> None:
    car = "application/vnd.ipld.car; version=1; order=dfs; dups=y"
    assert asked(accept=car).car == CarOptions(has_duplicates=True)
    assert asked("car-dups=n", accept=car).car == CarOptions()


def test_bytes_of_an_entity_mean_the_entity() -> None:
    options = asked("format=car&entity-bytes=0:99").car
    assert options == CarOptions(Scope.ENTITY, EntityRange(0, 99))
    for wrong in ("dag-scope=some", "entity-bytes=1", "entity-bytes=a:b", "entity-bytes=*:1"):
        with pytest.raises(BadRequest):
            asked(f"format=car&{wrong}")


@given(st.integers(-60, 60), st.integers(-60, 60) | st.none(), st.integers(0, 40))
def test_an_entity_range_is_the_slice_that_the_specification_describes(
    first: int, last: int | None, size_bytes: int
) -> None:
    start = first if first >= 0 else max(0, first + size_bytes)
    inclusive = size_bytes - 1 if last is None else last if last >= 0 else last + size_bytes
    slow = [at for at in range(size_bytes) if start <= at <= inclusive]
    assert list(EntityRange(first, last).within(size_bytes)) == slow


def test_a_record_belongs_to_a_name_alone() -> None:
    name = Identity.from_seed(bytes(32)).peer_id
    with pytest.raises(BadRequest):
        asked("format=ipns-record")
    with pytest.raises(BadRequest):
        asked("format=ipns-record", path=f"/ipns/{name}/a".encode())


def test_a_service_worker_rules_one_content_root_at_most() -> None:
    with pytest.raises(BadRequest):
        asked(service_worker="script")
    assert asked(path=AT_ROOT + b"/sw.js", service_worker="script").path.names == ("sw.js",)


@pytest.mark.parametrize("query", ["a=1&" * 40, "x" * 5_000, "a=%ff"])
def test_a_query_is_bounded_and_text(query: str) -> None:
    with pytest.raises(BadRequest):
        asked(query)


def test_what_a_header_chose_has_a_url_of_its_own_for_caches() -> None:
    raw = "application/vnd.ipld.raw"
    assert asked(accept=raw).content_location == f"/ipfs/{ROOT}?format=raw"
    assert asked("format=raw", accept=raw).content_location is None
    assert asked().content_location is None


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-3", range(4)),
        ("bytes=4-", range(4, 10)),
        ("bytes=-3", range(7, 10)),
        ("bytes=-30", range(10)),
        ("bytes=5-500", range(5, 10)),
        ("bytes=3-2", None),
        ("bytes=-", None),
        ("bytes=0-1,4-5", None),
        ("lines=0-1", None),
        ("bytes=٣-", None),
    ],
)
def test_one_range_is_served_and_what_is_none_is_ignored(
    header: str, expected: range | None
) -> None:
    assert byte_range(asked(range=header), '"e"', 10) == expected
    assert byte_range(asked(range=header, if_range='"other"'), '"e"', 10) is None
    assert byte_range(asked(range=header, method="HEAD"), '"e"', 10) is None


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=-0", "bytes=11-12"])
def test_a_range_without_a_byte_is_refused(header: str) -> None:
    with pytest.raises(GatewayError) as refused:
        byte_range(asked(range=header), '"e"', 10)
    assert refused.value.status == 416
    assert refused.value.headers["Content-Range"] == "bytes */10"


def test_etags_match_weakly_and_in_lists() -> None:
    for condition in ('"e"', 'W/"e"', '"a", W/"e"', "*"):
        assert etag_matches('"e"', condition)
    for other in (None, "", '"f"', "e"):
        assert not etag_matches('"e"', other)


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("a.html", b"", "text/html; charset=utf-8"),
        ("a.svg", b"<svg>", "image/svg+xml"),
        ("a.png", b"not really", "image/png"),
        ("a.json", b"{}", "application/json"),
        ("a.tar.gz", b"\x1f\x8b", "application/octet-stream"),
        ("README", "na\u00efve text".encode(), "text/plain; charset=utf-8"),
        ("README", b"<script>", "text/plain; charset=utf-8"),
        ("README", b"\x00\x01", "application/octet-stream"),
        ("README", b"", "application/octet-stream"),
        ("README", "\u00e9".encode() * 400, "text/plain; charset=utf-8"),
        ("README", b"x" + "\u00e9".encode() * 400, "text/plain; charset=utf-8"),
        ("data:text/html,x", b"\x00", "application/octet-stream"),
    ],
)
def test_a_type_comes_from_the_name_and_never_is_a_page_without_it(
    name: str, data: bytes, expected: str
) -> None:
    assert content_type(name, data) == expected


@given(st.text(max_size=60))
def test_no_file_name_leaves_its_header(name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        return
    value = disposition("attachment", name)
    assert value.isascii()
    assert value.isprintable()
    quoted = value.removeprefix('attachment; filename="').partition('"')[0]
    assert "\\" not in quoted
    assert value.count('"') == 2


def test_a_name_beyond_ascii_is_said_twice() -> None:
    """The specification's example."""
    assert disposition("inline", "test\u0442\u0435\u0441\u0442.jpg") == (
        "inline; filename=\"test____.jpg\"; filename*=UTF-8''test%D1%82%D0%B5%D1%81%D1%82.jpg"
    )
