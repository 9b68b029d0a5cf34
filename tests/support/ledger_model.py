"""The ledger's money in a hundred plain lines: mutable, epoch by epoch, nothing shared with it."""

from collections import Counter
from dataclasses import dataclass, field
from itertools import count

from chain.deal import DealProposal, DealState
from chain.policy import Policy

LIVE = (DealState.PUBLISHED, DealState.ACTIVE, DealState.FAULTY)


@dataclass
class ModelDeal:
    """One deal, and where its money went."""

    proposal: DealProposal
    owner: str
    state: DealState = DealState.PUBLISHED
    sector: "ModelSector | None" = None
    paid: int = 0
    refunded: int = 0
    compensation: int = 0
    collateral: int = 0
    settled: int = 0

    def __post_init__(self) -> None:
        self.settled, self.collateral = self.proposal.start_epoch, self.proposal.collateral_atto


@dataclass
class ModelSector:
    """One sector: when it is asked next, and which windows in a row it did not answer."""

    deals: list[ModelDeal]
    owner: str
    prove_by: int
    deposit: int
    deadline: int | None = None
    window: int | None = None
    missed: list[int] = field(default_factory=list)
    forgiven: int | None = None
    declared: list[int] = field(default_factory=list)
    is_over: bool = False


@dataclass
class Model:
    """What everybody has free, and every promise that holds the rest."""

    policy: Policy
    response: int
    free: Counter[str] = field(default_factory=Counter)
    reserved: dict[str, DealProposal] = field(default_factory=dict)
    deals: list[ModelDeal] = field(default_factory=list)
    sectors: list[ModelSector] = field(default_factory=list)

    def reserve(self, proposal: DealProposal) -> None:
        self.reserved[str(proposal.cid)] = proposal
        self.free[proposal.client] -= price_of(proposal)

    def release(self, proposal: DealProposal) -> None:
        del self.reserved[str(proposal.cid)]
        self.free[proposal.client] += price_of(proposal)

    def publish(self, proposal: DealProposal, owner: str) -> None:
        del self.reserved[str(proposal.cid)]
        self.free[owner] -= proposal.collateral_atto
        self.deals.append(ModelDeal(proposal, owner))

    def seal(self, deals: list[ModelDeal], epoch: int) -> ModelSector:
        last = min(deal.proposal.end_epoch for deal in deals) - self.response - 2
        price = sum(deal.proposal.price_atto_per_epoch for deal in deals)
        deposit = max(1, price * self.policy.proving_period_epochs)
        prove_by = min(last, epoch + self.policy.prove_commit_epochs)
        sector = ModelSector(deals, deals[0].owner, prove_by, deposit)
        self.free[sector.owner] -= deposit
        self.sectors.append(sector)
        for deal in deals:
            deal.sector = sector
        return sector

    def activate(self, sector: ModelSector, deadline: int, epoch: int) -> None:
        self.free[sector.owner] += sector.deposit
        sector.deposit, sector.deadline = 0, deadline
        for deal in sector.deals:
            deal.state = DealState.ACTIVE
            self.settle(deal, epoch, is_proven=False)
        self.ask_next(sector, epoch)

    def prove(self, sector: ModelSector) -> None:
        assert sector.window is not None
        for deal in unsettled(sector):
            deal.state = DealState.ACTIVE
            self.settle(deal, self.reach(sector, deal), is_proven=True)
        sector.missed.clear()
        self.ask_next(sector, sector.window + self.response)

    def may_declare(self, sector: ModelSector, window: int, epoch: int) -> bool:
        """Tell whether the sector's next window is that one, far enough ahead, and not too many."""
        if window != sector.window or window in sector.declared:
            return False
        month = self.policy.forgiven_miss_periods * self.policy.proving_period_epochs
        lately = [declared for declared in sector.declared if window - declared < month]
        is_early = epoch + self.policy.declaration_epochs <= window
        return is_early and len(lately) < self.policy.declared_faults_max

    def declare(self, sector: ModelSector) -> None:
        assert sector.window is not None
        sector.declared.append(sector.window)
        for deal in unsettled(sector):
            deal.state = DealState.FAULTY

    def miss(self, sector: ModelSector) -> None:
        assert sector.window is not None
        period, opened = self.policy.proving_period_epochs, sector.window
        is_free = opened in sector.declared
        if not is_free and not sector.missed:
            months = self.policy.forgiven_miss_periods * period
            is_free = sector.forgiven is None or opened - sector.forgiven >= months
            sector.forgiven = opened if is_free else sector.forgiven
        sector.missed.append(opened)
        asked = unsettled(sector)
        for deal in asked:
            deal.state, refunded = DealState.FAULTY, deal.refunded
            self.settle(deal, self.reach(sector, deal), is_proven=False)
            fee = self.policy.fault_fee_periods * (deal.refunded - refunded)
            self.take(deal, 0 if is_free else fee)
        longest = max(deal.proposal.duration_epochs for deal in asked)
        periods = 1 + (opened - sector.missed[0]) // period
        if periods > self.policy.fault_periods_allowed(longest):
            sector.is_over, sector.window = True, None
            for deal in sector.deals:
                if deal.state in LIVE:
                    self.end(deal, DealState.TERMINATED)
        else:
            self.ask_next(sector, opened + self.response)

    def tick(self, epoch: int, *, is_after_gap: bool) -> None:
        for sector in self.sectors:
            if is_after_gap and sector.window is not None and sector.window < epoch:
                finals = [final for final in self.finals(sector) if epoch < final]
                soon = [final for final in finals if final <= epoch + self.response]
                anew = min(soon, default=epoch)
                if sector.window in sector.declared:
                    sector.declared[-1] = anew
                sector.window = anew
            if sector.deadline is None and not sector.is_over and epoch > sector.prove_by:
                self.lapse(sector)
            elif sector.window is not None and epoch > sector.window + self.response:
                self.miss(sector)
        for deal in self.deals:
            is_waiting = deal.state is DealState.PUBLISHED and deal.sector is None
            if is_waiting and epoch > deal.proposal.start_epoch:
                self.end(deal, DealState.LAPSED)
            if deal.state in LIVE and epoch >= deal.settled == deal.proposal.end_epoch:
                is_kept = deal.state is DealState.ACTIVE
                self.end(deal, DealState.COMPLETED if is_kept else DealState.FAILED)
        for proposal in list(self.reserved.values()):
            if epoch > proposal.publish_by_epoch:
                self.release(proposal)

    def lapse(self, sector: ModelSector) -> None:
        weights = [deal.proposal.price_atto_per_epoch or 0 for deal in sector.deals]
        weights = weights if any(weights) else [1] * len(weights)
        given = part = 0
        for deal, weight in zip(sector.deals, weights, strict=True):
            part += weight
            share = sector.deposit * part // sum(weights) - given
            given += share
            deal.compensation += share
            self.free[deal.proposal.client] += share
            self.end(deal, DealState.LAPSED)
        sector.is_over = True

    def end(self, deal: ModelDeal, state: DealState) -> None:
        self.settle(deal, deal.proposal.end_epoch, is_proven=False)
        if state is DealState.COMPLETED:
            self.free[deal.owner] += deal.collateral
        else:
            self.take(deal, deal.collateral)
        deal.state = state

    def settle(self, deal: ModelDeal, until: int, *, is_proven: bool) -> None:
        until = max(deal.settled, until)
        amount = (until - deal.settled) * deal.proposal.price_atto_per_epoch
        deal.settled = until
        if is_proven:
            deal.paid += amount
            self.free[deal.owner] += amount
        else:
            deal.refunded += amount
            self.free[deal.proposal.client] += amount

    def take(self, deal: ModelDeal, amount: int) -> None:
        taken = min(amount, deal.collateral)
        deal.collateral -= taken
        deal.compensation += taken
        self.free[deal.proposal.client] += taken

    def finals(self, sector: ModelSector) -> list[int]:
        return [deal.proposal.end_epoch - self.response - 1 for deal in unsettled(sector)]

    def reach(self, sector: ModelSector, deal: ModelDeal) -> int:
        """Return up to where the window settles: to the end, if no window of its own follows."""
        assert sector.window is not None
        follows = deal.proposal.end_epoch - self.response - 1 > sector.window + self.response
        return sector.window if follows else deal.proposal.end_epoch

    def ask_next(self, sector: ModelSector, after: int) -> None:
        """Look at every epoch: a deal's last window, or a regular one that overlaps none."""
        assert sector.deadline is not None
        offset = sector.deadline * self.policy.deadline_epochs
        finals = self.finals(sector)
        for epoch in count(after + 1):
            if not finals:
                sector.window = None
                return
            is_regular = epoch % self.policy.proving_period_epochs == offset
            overlaps = any(epoch < final <= epoch + self.response for final in finals)
            if epoch in finals or (is_regular and not overlaps):
                sector.window = epoch
                return


def price_of(proposal: DealProposal) -> int:
    return proposal.price_atto_per_epoch * (proposal.end_epoch - proposal.start_epoch)


def unsettled(sector: ModelSector) -> list[ModelDeal]:
    return [deal for deal in sector.deals if deal.settled < deal.proposal.end_epoch]
