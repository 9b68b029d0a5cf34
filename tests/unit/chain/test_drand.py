"""Rounds from several servers over real HTTP: one honest source is enough, no liar is believed."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress

import pytest

from chain.drand import DrandClient, RoundUnavailable
from proofs.drand import QUICKNET, DrandChain, Round, Scheme
from tests.support.drand import PUBLISHED, Manner, Source, source_of
from tests.support.vectors import foreign

BAD = [manner for manner in Manner if manner is not Manner.HONEST]
UNREACHABLE = "http://127.0.0.1:9"


async def sources_of(stack: AsyncExitStack, manners: Sequence[Manner]) -> list[Source]:
    return [await stack.enter_async_context(source_of(manner)) for manner in manners]


def client_of(
    sources: Sequence[Source], *more_urls: str, hedge_seconds: float = 0.05
) -> DrandClient:
    urls = [*(source.url for source in sources), *more_urls]
    return DrandClient(QUICKNET, urls, answer_seconds=60, hedge_seconds=hedge_seconds)


async def test_a_source_gives_the_rounds_it_published() -> None:
    async with source_of(Manner.HONEST) as source, client_of([source]) as client:
        for number, published in PUBLISHED.items():
            assert await client.round(number) == published
        with pytest.raises(RoundUnavailable, match="404"):
            await client.round(1003)


async def test_chained_rounds_come_with_the_signature_before_them() -> None:
    for case in foreign("drand.json")["vectors"]:
        key = bytes.fromhex(case["public_key"])
        chain = DrandChain(bytes(32), Scheme(case["scheme"]), key, 0, 30)
        before = bytes.fromhex(case.get("previous_signature", ""))
        published = Round(case["round"], bytes.fromhex(case["signature"]), before)
        rounds = {published.number: published}
        async with (
            source_of(Manner.HONEST, chain, rounds) as source,
            DrandClient(chain, [source.url]) as client,
        ):
            if case["valid"]:
                assert await client.round(published.number) == published
            else:
                with pytest.raises(RoundUnavailable, match="did not sign"):
                    await client.round(published.number)


@pytest.mark.parametrize("manner", BAD)
async def test_one_honest_source_after_a_bad_one_is_enough(manner: Manner) -> None:
    async with AsyncExitStack() as stack:
        sources = await sources_of(stack, (manner, Manner.HONEST))
        hedge_seconds = 1 if manner is Manner.SILENT else 60
        async with client_of(sources, hedge_seconds=hedge_seconds) as client:
            assert await client.round(1001) == PUBLISHED[1001]
    assert all(source.asked == [1001] for source in sources)


async def test_all_bad_ways_together_do_not_hide_one_honest_source() -> None:
    async with AsyncExitStack() as stack:
        sources = await sources_of(stack, (*BAD, Manner.HONEST))
        async with client_of(sources, UNREACHABLE, "http://[nonsense") as client:
            assert await client.round(1002) == PUBLISHED[1002]


async def test_where_nobody_is_honest_no_round_is_believed() -> None:
    answering = [manner for manner in BAD if manner is not Manner.SILENT]
    async with AsyncExitStack() as stack:
        sources = await sources_of(stack, answering)
        async with client_of(sources, UNREACHABLE) as client:
            with pytest.raises(RoundUnavailable) as refused:
                await client.round(1001)
    reasons = refused.value.reasons
    assert reasons.keys() == {UNREACHABLE, *(source.url for source in sources)}
    by_manner = {source.manner: reasons[source.url] for source in sources}
    assert by_manner[Manner.STALE] == "answered with round 1000"
    assert by_manner[Manner.STALE_AND_LYING] == "the chain did not sign this round"
    assert "randomness" in by_manner[Manner.OTHER_RANDOMNESS]
    assert by_manner[Manner.CHATTERING] == "the answer is too long"
    assert by_manner[Manner.GIBBERISH] == "the answer is no round"
    assert by_manner[Manner.BROKEN] == "answered 500"
    assert by_manner[Manner.ELSEWHERE] == "answered 302", "a redirect is not followed"


async def test_a_silent_source_alone_is_given_up() -> None:
    async with (
        source_of(Manner.SILENT) as source,
        DrandClient(QUICKNET, [source.url], answer_seconds=0.2) as client,
    ):
        with pytest.raises(RoundUnavailable, match=r"in time|Timeout"):
            await client.round(1000)


async def test_who_failed_is_asked_last_from_then_on() -> None:
    async with AsyncExitStack() as stack:
        liar, honest = await sources_of(stack, (Manner.STALE_AND_LYING, Manner.HONEST))
        async with DrandClient(QUICKNET, [liar.url, honest.url], hedge_seconds=60) as client:
            await client.round(1001)
            await client.round(1002)
    assert (liar.asked, honest.asked) == ([1001], [1001, 1002])


async def test_a_round_that_is_not_out_yet_is_no_failure_and_nobodys_silence_hides_it() -> None:
    async with AsyncExitStack() as stack:
        silent, honest = await sources_of(stack, (Manner.SILENT, Manner.HONEST))
        urls = [silent.url, honest.url]
        client = DrandClient(QUICKNET, urls, answer_seconds=3_600, hedge_seconds=0.05)
        await stack.enter_async_context(client)
        with pytest.raises(RoundUnavailable) as refused:
            await client.round(1003)
        assert refused.value.reasons == {honest.url: "answered 404", silent.url: "silent"}

        later = {**PUBLISHED, 1003: PUBLISHED[1002]}
        lying = await stack.enter_async_context(source_of(Manner.HONEST, rounds=later))
        other = DrandClient(QUICKNET, [honest.url, lying.url], hedge_seconds=3_600)
        await stack.enter_async_context(other)
        for number in (1003, 1001):
            with suppress(RoundUnavailable):
                await other.round(number)
    assert honest.asked[-1] == 1001, "it is still asked first"


async def test_asking_can_be_cancelled() -> None:
    async with AsyncExitStack() as stack:
        sources = await sources_of(stack, (Manner.SILENT, Manner.SILENT))
        async with client_of(sources) as client:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await client.round(1000)


def test_a_beacon_needs_a_source() -> None:
    with pytest.raises(ValueError, match="source"):
        DrandClient(QUICKNET, [])
