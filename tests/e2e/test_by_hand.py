"""The network by hand, as the README tells it, and what bad input gets."""

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.holdfast import Running, User

NOBODY_HAS = "bafkreigaknpexyvxt76zgkitavbwx6ejgfheup5oybpm77f3pxzrvwpfdi"


@dataclass
class Market:
    """A ledger and one provider, run by hand."""

    folder: Path
    ledger: User
    ledger_process: Running
    provider: User
    provider_process: Running

    @property
    def url(self) -> str:
        return str(self.ledger_process.ready["url"])

    def user(self, name: str, *, tokens: str | None = "10") -> User:
        """Return somebody with a wallet, and money unless `tokens` is None."""
        user = User(self.folder / name, self.url)
        user.sets("client", "transfer_seconds_min = 60")
        assert user.says("wallet", "new").exit_code == 0
        if tokens is not None:
            assert user.says("wallet", "faucet", tokens).exit_code == 0
        return user


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    folder = tmp_path_factory.mktemp("market")
    ledger = User(folder / "ledger")
    with ledger.runs("ledger", "serve", "--port", "0") as ledger_process:
        provider = User(folder / "provider", ledger_process.ready["url"])
        provider.says("provider", "init").result  # noqa: B018 - asserts that it was done
        with provider.runs("provider", "run") as provider_process:
            yield Market(folder, ledger, ledger_process, provider, provider_process)


def test_a_file_is_stored_listed_explained_judged_and_retrieved(market: Market) -> None:
    alice = market.user("alice")
    photo = market.folder / "photo.jpg"
    photo.write_bytes(os.urandom(100_000))

    quoted = alice.says("quote", str(photo), "--for", "200e").result
    stored = alice.says("store", str(photo), "--for", "200e").result
    assert stored["root_cid"] == quoted["root_cid"]
    [deal_id] = stored["deal_ids"]

    [listed] = alice.says("deals", "list").result["deals"]
    assert (listed["id"], listed["state"]) == (deal_id, "active")
    shown = alice.says("deals", "show", str(deal_id)).result["deal"]["proposal"]
    assert int(shown["price_atto_per_epoch"]) * 200 == int(quoted["total_atto"])
    explained = alice.says("deals", "explain", str(deal_id)).result
    assert explained["until_epoch"] > 0
    assert explained["then"]
    judged = alice.says("verdict", stored["root_cid"]).result
    assert judged["safety"] == "safe"
    [copy] = judged["copies"]
    at = datetime.fromisoformat(copy["next_window_time"])
    assert abs(at - datetime.now(UTC)) < timedelta(minutes=5)

    again = alice.says("store", str(photo), "--for", "200e").result
    assert again["deal_ids"] == [deal_id], "the same file is not paid for twice"

    stranger = User(market.folder / "stranger", market.url)
    assert stranger.says("verdict", stored["root_cid"]).exit_code == 10, "whose deals?"
    assert stranger.says("verdict", stored["root_cid"], "--all").result["safety"] == "safe"
    other = market.user("other", tokens=None)
    assert other.says("verdict", stored["root_cid"]).exit_code == 4, "none of its own keeps it"
    copy = market.folder / "copy.jpg"
    stranger.says("retrieve", stored["root_cid"], "-o", str(copy)).result  # noqa: B018
    assert copy.read_bytes() == photo.read_bytes()
    taken = stranger.says("retrieve", stored["root_cid"], "-o", str(copy))
    assert taken.exit_code == 1
    assert copy.read_bytes() == photo.read_bytes()

    status = market.provider.says("provider", "status").result
    assert status["sectors"].get("active") == 1
    assert int(status["earnings"]["ahead_atto"]) > 0
    assert status["next_window_time"]
    [multiaddr] = market.provider_process.ready["multiaddrs"]
    assert multiaddr.endswith(f"/p2p/{status['peer_id']}")


def test_a_store_that_was_killed_goes_on_when_it_is_said_again(market: Market) -> None:
    alice = market.user("hasty")
    file = market.folder / "hasty.bin"
    file.write_bytes(os.urandom(3_000_000))
    command = ("store", str(file), "--for", "200e")
    with alice.runs(*command, until='"reserved"') as first:
        first.end(signal.SIGKILL)
    stored = alice.says(*command).result
    listed = alice.says("deals", "list").result["deals"]
    assert [deal["id"] for deal in listed] == stored["deal_ids"], "paid for once"


def test_money_moves_between_people_and_is_counted(market: Market) -> None:
    alice, bob = market.user("payer", tokens="5"), market.user("payee", tokens=None)
    to = bob.says("wallet", "address").result["address"]
    sent = alice.says("wallet", "send", to, "1.25").result
    assert bob.says("wallet", "balance").result["free_atto"] == str(125 * 10**16)
    assert alice.says("wallet", "balance", to).result["free_atto"] == str(125 * 10**16)
    left = int(alice.says("wallet", "balance").result["free_atto"])
    assert left + int(sent["fee_atto"]) == 375 * 10**16
    mistyped = to[:-1] + ("q" if to[-1] != "q" else "p")
    assert alice.says("wallet", "send", mistyped, "1").exit_code == 2
    assert alice.says("wallet", "send", to, "1e3").exit_code == 2
    greedy = alice.says("wallet", "faucet", "1001")
    assert (greedy.exit_code, greedy.error_code) == (5, "not-allowed")
    assert "1000 tokens" in greedy.objects[-1]["detail"]
    poor = alice.says("wallet", "send", to, "1000")
    assert (poor.exit_code, poor.error_code) == (6, "insufficient-funds")


def test_too_little_money_says_how_much_is_missing(market: Market) -> None:
    poor = market.user("poor", tokens="17 atto")
    file = market.folder / "poor.txt"
    file.write_text("worth more than 17 atto")
    done = poor.says("store", str(file), "--for", "200e")
    assert (done.exit_code, done.error_code) == (6, "insufficient-funds")
    assert "are missing" in done.objects[-1]["detail"]


def test_what_nobody_has_is_told_apart_from_what_is_no_cid(market: Market) -> None:
    user = User(market.folder / "seeker", market.url)
    absent = user.says("retrieve", NOBODY_HAS, "-o", str(market.folder / "absent"))
    assert (absent.exit_code, absent.error_code) == (7, "dag-unavailable")
    assert user.says("retrieve", NOBODY_HAS[:-1]).exit_code == 2
    assert user.says("verdict", NOBODY_HAS, "--all").exit_code == 4
    assert user.says("deals", "show", "999").exit_code == 4


def test_a_path_that_can_not_be_read_costs_nothing(market: Market) -> None:
    user = market.user("careless")
    missing = user.says("store", str(market.folder / "missing"))
    assert (missing.exit_code, missing.error_code) == (4, "not-found")
    lonely = User(market.folder / "lonely", "http://127.0.0.1:9")
    for command in ("quote", "store"):
        first = lonely.says(command, str(market.folder / "missing"))
        assert first.error_code == "not-found", "without a wallet and a ledger, too"
        wrong = lonely.says(command, str(market.folder), "--for", "xyz")
        assert (wrong.exit_code, wrong.error_code) == (2, "usage")
    assert lonely.says("deals", "list", "--cid", "xyz").exit_code == 2
    fifo = market.folder / "fifo"
    os.mkfifo(fifo)
    assert user.says("store", str(fifo)).exit_code == 1
    assert user.says("wallet", "balance").result["free_atto"] == str(10 * 10**18)


def test_nobody_sells_what_nobody_has(market: Market) -> None:
    user = market.user("demanding")
    file = market.folder / "demanding.txt"
    file.write_text("twice, please")
    done = user.says("store", str(file), "--copies", "2", "--for", "200e")
    assert (done.exit_code, done.error_code) == (7, "not-enough-providers")
    cheap = user.says("store", str(file), "--max-price", "1 atto", "--for", "200e")
    assert "you offer 0.000000000000000001" in cheap.objects[-1]["detail"]
    assert user.says("quote", str(file), "--max-price", "1/30d", "--for", "200e").exit_code == 7
    assert user.says("quote", str(file), "--max-price", "cheap", "--for", "200e").exit_code == 2
    assert user.says("ipfs", "refs", "local").result["count"] == 0, "nothing of it was left here"


def test_without_a_wallet_the_command_that_makes_one_is_named(market: Market) -> None:
    user = User(market.folder / "nobody", market.url)
    done = user.says("wallet", "balance")
    assert (done.exit_code, done.error_code) == (10, "wallet-missing")
    assert "holdfast wallet new" in done.objects[-1]["detail"]


def test_without_a_provider_the_command_that_makes_one_is_named(tmp_path: Path) -> None:
    user = User(tmp_path)
    for command in (("run",), ("status",), ("scrub",), ("unseal", NOBODY_HAS)):
        done = user.says("provider", *command)
        assert (done.exit_code, done.error_code) == (10, "provider-missing")
        assert "holdfast provider init" in done.objects[-1]["detail"]
    assert not list(tmp_path.iterdir())


def test_a_ledger_of_another_network_is_a_wrong_setting(market: Market) -> None:
    user = User(market.folder / "lost", market.url)
    user.sets("client", 'network = "laptop"')
    done = user.says("deals", "list", "--all")
    assert (done.exit_code, done.error_code) == (2, "ledger-foreign")


def test_a_folder_has_one_process(market: Market) -> None:
    second = market.provider.says("provider", "run")
    assert (second.exit_code, second.error_code) == (11, "folder-locked")
    another_ledger = market.ledger.says("ledger", "serve", "--port", "0")
    assert (another_ledger.exit_code, another_ledger.error_code) == (11, "folder-locked")


@pytest.mark.parametrize(
    ("role", "command"),
    [
        ("ledger", ("ledger", "serve")),
        ("provider", ("provider", "run")),
        ("client", ("wallet", "address")),
    ],
)
def test_a_wrong_setting_is_named_with_file_line_and_key(
    tmp_path: Path, role: str, command: tuple[str, ...]
) -> None:
    toml = tmp_path / f"{role}.toml"
    toml.write_text('# settings\n\ncolour = "green"\n')
    done = User(tmp_path).says(*command)
    assert (done.exit_code, done.error_code) == (2, "config-invalid")
    assert f"{toml}:3: colour" in done.objects[-1]["detail"]


def test_an_init_that_was_refused_leaves_nothing_and_can_be_said_again(tmp_path: Path) -> None:
    user = User(tmp_path)
    for wrong in (("--ledger", "localhost:8650"), ("--capacity", "0")):
        assert user.says("provider", "init", *wrong).exit_code == 2
    user.says("provider", "init", "--capacity", "1GB").result  # noqa: B018
    assert user.says("provider", "init").error_code == "provider-exists"
    assert user.says("provider", "scrub", "--rate", "0").exit_code == 2
    assert user.says("wallet", "balance", "--ledger", "localhost:8650").exit_code == 2


def test_a_ledger_that_is_down_is_said_so(tmp_path: Path) -> None:
    user = User(tmp_path, "http://127.0.0.1:9")
    user.says("wallet", "new").result  # noqa: B018
    done = user.says("wallet", "balance")
    assert (done.exit_code, done.error_code) == (7, "ledger-unreachable")
    assert "holdfast ledger serve" in done.objects[-1]["detail"]


def test_a_supervisors_sigterm_ends_processes_in_order(tmp_path: Path) -> None:
    ledger, provider = User(tmp_path / "ledger"), User(tmp_path / "provider")
    with ledger.runs("ledger", "serve", "--port", "0") as ledger_process:
        provider.ledger_url = ledger_process.ready["url"]
        provider.says("provider", "init").result  # noqa: B018
        with provider.runs("provider", "run") as provider_process:
            assert provider_process.end(signal.SIGTERM) == 143
            assert provider.says("provider", "status").error_code == "provider-stopped"
        assert ledger_process.end(signal.SIGTERM) == 143
    assert ledger.says("ledger", "audit").result["blocks"] > 0


def test_killed_processes_go_on_where_they_were(tmp_path: Path) -> None:
    """Kill the ledger and the provider while a deal is under way; start both; it becomes active."""
    ledger, provider = User(tmp_path / "ledger"), User(tmp_path / "provider")
    with ledger.runs("ledger", "serve", "--port", "0") as first_ledger:
        url = first_ledger.ready["url"]
        port = url.rpartition(":")[2]
        provider.ledger_url = url
        provider.says("provider", "init").result  # noqa: B018
        alice = User(tmp_path / "alice", url)
        alice.sets("client", "transfer_seconds_min = 60")
        alice.says("wallet", "new").result  # noqa: B018
        alice.says("wallet", "faucet").result  # noqa: B018
        file = tmp_path / "file.bin"
        file.write_bytes(os.urandom(50_000))
        with (
            provider.runs("provider", "run") as first_provider,
            alice.runs("store", str(file), "--for", "200e", until='"reserved"') as store,
        ):
            first_provider.end(signal.SIGKILL)
            first_ledger.end(signal.SIGKILL)
            with (
                ledger.runs("ledger", "serve", "--port", port),
                provider.runs("provider", "run"),
            ):
                assert store.process.stdout is not None
                last = store.process.stdout.read().splitlines()[-1]
                assert '"result"' in last
                assert store.process.wait(60) == 0
    audited = ledger.says("ledger", "audit").result
    assert audited["blocks"] > 0
    assert audited["verdicts_checked"] >= 1
