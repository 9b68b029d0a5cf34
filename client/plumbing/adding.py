"""Which settings the words of `add` come to."""

from dataclasses import replace

from ipfs.unixfs.chunker import chunker_named
from ipfs.unixfs.layout import Layout
from ipfs.unixfs.profiles import PROFILES, ImportSettings


class SettingsRefused(ValueError):
    """The words make no DAG."""

    code = "usage"


def import_settings(
    profile: str,
    *,
    cid_version: int | None = None,
    raw_leaves: bool | None = None,
    chunker: str | None = None,
    links_per_node_max: int | None = None,
    is_trickle: bool = False,
    keeps_mode: bool = False,
    keeps_mtime: bool = False,
) -> ImportSettings:
    """Return a profile with what was said otherwise; None: nothing was.

    As with Kubo, who says the CID version alone says raw leaves too: with version 1, none with 0.
    Raises `SettingsRefused`.
    """
    if profile not in PROFILES:
        raise SettingsRefused(f"there is no profile {profile!r}, only {', '.join(PROFILES)}")
    settings = PROFILES[profile]
    if raw_leaves is None:
        raw_leaves = settings.raw_leaves if cid_version is None else cid_version == 1
    try:
        return replace(
            settings,
            cid_version=settings.cid_version if cid_version is None else cid_version,
            raw_leaves=raw_leaves,
            chunker=settings.chunker if chunker is None else chunker_named(chunker),
            links_per_node_max=links_per_node_max or settings.links_per_node_max,
            layout=Layout.TRICKLE if is_trickle else settings.layout,
            keep_mode=keeps_mode,
            keep_mtime=keeps_mtime,
        )
    except ValueError as error:
        raise SettingsRefused(str(error)) from error
