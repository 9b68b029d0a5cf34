"""What we announce, and when each of it is due again."""


class Announcements:
    """The keys under which we are to be found. Knows no clock; `now` never goes back."""

    def __init__(self, *, republish_seconds: float) -> None:
        self._republish_seconds = republish_seconds
        self._due_at: dict[bytes, float] = {}

    def add(self, key: bytes, now: float) -> None:
        """Announce a key from now on, at once to begin with."""
        self._due_at[key] = now

    def remove(self, key: bytes) -> None:
        """Announce it no more."""
        self._due_at.pop(key, None)

    def made(self, key: bytes, now: float) -> None:
        """Take note that somebody keeps the record."""
        self._due_at[key] = now + self._republish_seconds

    def due(self, now: float) -> list[bytes]:
        """Return what to announce now."""
        return [key for key, due_at in self._due_at.items() if due_at <= now]
