"""The parameters of one network. Changing one is a hard fork, so each names its source."""

from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from chain.keys import MAIN_PREFIX, TEST_PREFIX
from chain.units import ATTO_PER_TOKEN, Atto, Epoch
from ipfs.record import Record
from proofs.parameters import ProofType
from proofs.registry import longest_proof_bytes, parameters_of

PositiveInt = Annotated[int, Field(ge=1, le=2**53)]


class SectorRule(Record):
    """How long one kind of sector may take, in this network's epochs."""

    proof_type: ProofType
    response_epochs: PositiveInt
    """A window's proof lands within this many epochs of its seed (docs/protocols/proofs.md)."""

    sealing_epochs: PositiveInt
    """What a client should leave between publishing a deal and its start."""


class Policy(Record):
    """One network's rules. It comes with a genesis, so its checks raise, they don't assert."""

    name: str
    address_prefix: str = MAIN_PREFIX
    epoch_seconds: PositiveInt = 3
    """One drand quicknet round, so that its beacon serves as it is (drand chain info)."""

    proving_period_epochs: PositiveInt = 28_800
    """Every live sector is proven once a day (builtin-actors `policy.rs`, wpost_proving_period)."""

    deadlines_per_period: PositiveInt = 48
    """Spreads one provider's proving over the day (same file, wpost_period_deadlines)."""

    sectors: tuple[SectorRule, ...] = (
        SectorRule(proof_type=ProofType.SDR_512MIB, response_epochs=2, sealing_epochs=1_200),
        SectorRule(proof_type=ProofType.SDR_32GIB, response_epochs=150, sealing_epochs=28_800),
        SectorRule(proof_type=ProofType.SDR_64GIB, response_epochs=150, sealing_epochs=57_600),
    )
    seal_margin: PositiveInt = 10
    """Sealing again takes this many response windows at least (Filecoin keeps about 5)."""

    sector_pieces_max: PositiveInt = 64
    seed_delay_epochs: PositiveInt = 2
    """From PreCommit to its challenge; Filecoin waits 150 for reorganisations, here are none."""

    prove_commit_epochs: PositiveInt = 28_800
    """A day from PreCommit to its proof, or the deposit is lost."""

    ticket_age_max_epochs: PositiveInt = 28_800
    precommit_batch_max: PositiveInt = 256
    """(builtin-actors `policy.rs`, pre_commit_sector_batch_max_size)."""

    prove_commit_batch_max: PositiveInt = 4
    window_proofs_batch_max: PositiveInt = 64
    publish_batch_max: PositiveInt = 64
    proofs_kept_periods: PositiveInt = 2
    proof_bytes_max: PositiveInt = 16 * 1024 * 1024
    """A PoRep of 64 GiB with 64 pieces, 688 challenges of 22 KiB, is below 14.6 MiB (SECURITY)."""

    recovery_windows_max: PositiveInt = 7
    """So many of the missed windows a faulty sector answers, the newest, to be well again."""

    fault_fee_periods: PositiveInt = 3
    """What a missed period costs, in periods' price; a part of one, that part (Filecoin: 3.51 days
    of reward)."""

    forgiven_miss_periods: PositiveInt = 30
    """In so many, one first miss a sector is free (FIP-0002), and `declared_faults_max`."""

    declared_faults_max: PositiveInt = 3
    """Misses that were declared ahead cost no fee; more of them can't be declared."""

    declaration_epochs: PositiveInt = 700
    """How long before its window a fault is declared at the latest: 35 minutes, as in Filecoin
    (builtin-actors `policy.rs`, fault_declaration_cutoff)."""

    declared_faults_batch_max: PositiveInt = 256

    fault_periods_max: PositiveInt = 42
    """Faulty for longer: terminated (builtin-actors `policy.rs`, fault_max_age)."""

    fault_duration_divisor: PositiveInt = 10
    """A short deal is given up sooner: after a tenth of its time, one period at the least."""

    deal_periods_min: PositiveInt = 1
    """Users want monthly and less; Filecoin's floor of 180 days shuts many out (FIP-0110)."""

    deal_periods_max: PositiveInt = 1278
    """(builtin-actors `policy.rs`, max_sector_expiration_extension)."""

    collateral_percent: PositiveInt = 20
    collateral_periods: PositiveInt = 30
    collateral_floor_atto_per_gib: Atto = Atto(ATTO_PER_TOKEN // 1_000)
    message_fee_atto: Atto = Atto(10**9)
    """Of each item in a batch; any other message is one."""

    message_epochs_max: PositiveInt = 1_200
    """How far ahead a message may expire: an hour."""

    void_gap_epochs: PositiveInt = 2
    """A halt of the ledger longer than this voids the open windows and draws them anew."""

    faucet_atto_max: Atto = Atto(0)
    """What one DrawFaucet may mint; zero where money is worth something."""

    for_tests: bool = False
    """Lets the seal margin be broken: sectors small enough to seal again in time prove nothing."""

    @model_validator(mode="after")
    def _is_coherent(self) -> Self:
        if self.proving_period_epochs % self.deadlines_per_period:
            raise ValueError("deadlines must tile the proving period")
        if len({rule.proof_type for rule in self.sectors}) != len(self.sectors):
            raise ValueError("one rule a proof type")
        for rule in self.sectors:
            if rule.response_epochs >= self.deadline_epochs:
                raise ValueError(f"{rule.proof_type}: the response must end within its deadline")
            if rule.response_epochs + self.declaration_epochs >= self.proving_period_epochs:
                raise ValueError(f"{rule.proof_type}: no time between windows to declare a fault")
            self._keeps_seal_margin(rule)
            self._has_room_for_proofs(rule)
        return self

    def _has_room_for_proofs(self, rule: SectorRule) -> None:
        longest_bytes = longest_proof_bytes(
            parameters_of(rule.proof_type),
            piece_count=self.sector_pieces_max,
            seed_count=self.recovery_windows_max + 1,
        )
        if longest_bytes > self.proof_bytes_max:
            raise ValueError(f"{rule.proof_type}: a proof can take {longest_bytes} bytes")

    def _keeps_seal_margin(self, rule: SectorRule) -> None:
        parameters = parameters_of(rule.proof_type)
        response_milliseconds = rule.response_epochs * self.epoch_seconds * 1_000
        if self.for_tests:
            return
        if parameters.for_tests:
            raise ValueError(f"{rule.proof_type} proves nothing: for_tests only")
        if response_milliseconds * self.seal_margin > parameters.seal_floor_milliseconds:
            raise ValueError(f"{rule.proof_type}: sealing again would fit the response window")

    @property
    def deadline_epochs(self) -> int:
        """Return the length of one deadline."""
        return self.proving_period_epochs // self.deadlines_per_period

    def sector_rule(self, proof_type: ProofType) -> SectorRule | None:
        """Return the rule of a proof type, None if this network does not take it."""
        return next((rule for rule in self.sectors if rule.proof_type == proof_type), None)

    def fault_periods_allowed(self, duration_epochs: int) -> int:
        """Return after how many missed periods in a row a deal of this length is given up."""
        scaled = duration_epochs // (self.fault_duration_divisor * self.proving_period_epochs)
        return min(self.fault_periods_max, max(1, scaled))

    def collateral_atto(
        self, *, piece_size_bytes: int, duration_epochs: int, price_atto_per_epoch: int
    ) -> Atto:
        """Return the least a provider locks for a deal, rounded up (docs/protocols/deal.md)."""
        total_atto = price_atto_per_epoch * duration_epochs
        return Atto(
            max(
                -(-total_atto * self.collateral_percent // 100),
                price_atto_per_epoch * self.collateral_periods * self.proving_period_epochs,
                -(-self.collateral_floor_atto_per_gib * piece_size_bytes // 2**30),
            )
        )

    def last_response_epoch(self, proof_type: ProofType, window_epoch: Epoch) -> Epoch:
        """Return the last block that takes a proof for the window opened at `window_epoch`."""
        rule = self.sector_rule(proof_type)
        assert rule is not None, "a sector on the ledger is of a kind that the network takes"
        return Epoch(window_epoch + rule.response_epochs)


MAIN: Final = Policy(name="main")

LAPTOP: Final = Policy(
    name="laptop",
    address_prefix=TEST_PREFIX,
    epoch_seconds=5,
    proving_period_epochs=17_280,
    deadlines_per_period=48,
    sectors=(SectorRule(proof_type=ProofType.SDR_512MIB, response_epochs=1, sealing_epochs=720),),
    prove_commit_epochs=17_280,
    ticket_age_max_epochs=17_280,
    declaration_epochs=420,
    message_epochs_max=720,
)
"""Friends on their own machines: the ledger's own beacon, real sectors, a day's period."""

DEV: Final = Policy(
    name="dev",
    address_prefix=TEST_PREFIX,
    epoch_seconds=1,
    proving_period_epochs=16,
    deadlines_per_period=4,
    sectors=(
        SectorRule(proof_type=ProofType.SDR_2KIB, response_epochs=3, sealing_epochs=15),
        SectorRule(proof_type=ProofType.SDR_8MIB, response_epochs=3, sealing_epochs=15),
        SectorRule(proof_type=ProofType.SDR_512MIB, response_epochs=3, sealing_epochs=900),
    ),
    prove_commit_epochs=600,
    ticket_age_max_epochs=3_600,
    declaration_epochs=1,
    message_epochs_max=600,
    faucet_atto_max=Atto(1_000 * ATTO_PER_TOKEN),
    for_tests=True,
)
"""One machine, minutes instead of days; money from a faucet, sectors that prove nothing."""

POLICIES: Final = {policy.name: policy for policy in (MAIN, LAPTOP, DEV)}
