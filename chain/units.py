"""What is counted: epochs, money, and the numbers the ledger gives out."""

from typing import Annotated, Final, NewType

from pydantic import Field

from ipfs.record import BigNatural

Epoch = NewType("Epoch", Annotated[int, Field(ge=0, le=2**53)])
"""The ledger's tick, also its block height. The bound is JSON's."""

ProviderId = NewType("ProviderId", Annotated[int, Field(ge=1, le=2**53)])
"""A provider's number on the ledger, never reused; the prover id that replicas are bound to."""

DealId = NewType("DealId", Annotated[int, Field(ge=1, le=2**53)])
"""A deal's small number, for people; its proposal's CID is the name."""

SectorNumber = NewType("SectorNumber", Annotated[int, Field(ge=0, le=2**53)])
"""A sector's number within its provider, never reused."""

ATTO_PER_TOKEN: Final = 10**18
BYTES_PER_GIB: Final = 2**30


class Atto(BigNatural):
    """10⁻¹⁸ of a token. All money is this; arithmetic on it is arithmetic on integers."""
