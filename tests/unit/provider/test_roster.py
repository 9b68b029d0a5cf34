"""The roster: one piece of work at a time for each subject, and rest after a failure."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from chain.units import Epoch, SectorNumber
from provider.duties import AnswerWindow, Duty, PreCommit, Seal, Trim
from provider.roster import RETRY_EPOCHS_MAX, Roster, key_of


def seal(number: int, due: int = 9) -> Seal:
    return Seal(Epoch(due), SectorNumber(number))


def test_what_is_under_way_is_not_begun_again_whatever_its_deadline() -> None:
    roster = Roster({})
    assert roster.turn((seal(0),), Epoch(1)).start == (seal(0),)
    assert roster.turn((seal(0, due=8),), Epoch(2)).start == ()
    assert roster.under_way == (seal(0),)


def test_other_work_on_the_same_sector_waits_but_its_window_does_not() -> None:
    roster = Roster({})
    roster.turn((seal(0),), Epoch(1))
    trim = Trim(Epoch(1), SectorNumber(0))
    window = AnswerWindow(Epoch(5), Epoch(1), (SectorNumber(0),))
    assert roster.turn((window, seal(0), trim), Epoch(1)).start == (window,)


def test_a_limit_holds_back_the_rest() -> None:
    roster = Roster({Seal: 2})
    everything = tuple(seal(number) for number in range(5))
    assert roster.turn(everything, Epoch(1)).start == everything[:2]
    roster.ended(seal(0), Epoch(1), failed=False)
    assert roster.turn(everything[1:], Epoch(1)).start == (seal(2),)


def test_what_is_off_the_agenda_is_stopped() -> None:
    roster = Roster({})
    roster.turn((seal(0), seal(1)), Epoch(1))
    assert roster.turn((seal(1),), Epoch(2)).stop == (key_of(seal(0)),)
    roster.ended(seal(0), Epoch(2), failed=True)
    assert roster.turn((seal(1),), Epoch(3)).stop == ()


def test_done_work_that_changed_nothing_yet_waits_for_the_next_head() -> None:
    roster = Roster({})
    roster.turn((seal(0),), Epoch(1))
    roster.ended(seal(0), Epoch(1), failed=False)
    assert roster.turn((seal(0),), Epoch(1)).start == ()
    assert roster.turn((seal(0),), Epoch(2)).start == (seal(0),)


def test_failures_are_tried_again_ever_less_often_until_the_work_is_off_the_agenda() -> None:
    roster, begun = Roster({}), []
    for epoch in range(300):
        if roster.turn((seal(0),), Epoch(epoch)).start:
            begun.append(epoch)
            roster.ended(seal(0), Epoch(epoch), failed=True)
    gaps = [later - sooner for sooner, later in pairwise(begun)]
    assert gaps[:5] == [1, 2, 4, 8, 16]
    assert max(gaps) == RETRY_EPOCHS_MAX
    roster.turn((), Epoch(301))
    assert roster.turn((seal(0),), Epoch(301)).start == (seal(0),)


duties = st.one_of(
    st.builds(seal, st.integers(0, 3)),
    st.builds(lambda number: PreCommit(Epoch(9), SectorNumber(number)), st.integers(0, 3)),
    st.builds(
        lambda numbers: AnswerWindow(Epoch(9), Epoch(1), tuple(map(SectorNumber, numbers))),
        st.lists(st.integers(0, 3), min_size=1, unique=True),
    ),
)


@given(st.lists(st.tuples(st.lists(duties, max_size=6), st.booleans(), st.booleans())))
def test_no_two_duties_under_way_share_a_subject(
    heads: list[tuple[list[Duty], bool, bool]],
) -> None:
    roster = Roster({Seal: 2})
    for epoch, (agenda, ends, failed) in enumerate(heads):
        roster.turn(agenda, Epoch(epoch))
        subjects = [subject for duty in roster.under_way for subject in duty.subjects]
        assert len(subjects) == len(set(subjects))
        assert sum(isinstance(duty, Seal) for duty in roster.under_way) <= 2
        if ends and roster.under_way:
            roster.ended(roster.under_way[0], Epoch(epoch), failed=failed)


def test_the_operator_reads_what_is_done_in_words() -> None:
    numbers = (SectorNumber(0), SectorNumber(2))
    window = AnswerWindow(Epoch(155), Epoch(152), numbers)
    assert str(window) == "answering the window of epoch 152 for sectors 0, 2"
    assert str(seal(0)) == "sealing sector 0"
