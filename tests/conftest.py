"""What every test shares: properties are judged by what they find, not by how fast."""

from hypothesis import settings

settings.register_profile("holdfast", deadline=None)
settings.load_profile("holdfast")
