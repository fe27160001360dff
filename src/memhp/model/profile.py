"""Kernels that the model can be: what each one has, by name.

Code asks for a feature and never compares versions.
"""

from dataclasses import dataclass

from memhp.core.words import OnlineType


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One kernel's features.

    ``recorded`` tells whether real recordings judge the profile; the others
    are built from reports.
    """

    name: str
    release: str
    recorded: bool
    auto_online: OnlineType
    hot_remove: bool = True
    online_words: frozenset[OnlineType] = frozenset(OnlineType)
    movable_must_be_adjacent: bool = False
    valid_zones_file: bool = True
    auto_online_file: bool = True
    module_parameters: bool = True
    memmap_force: bool = False
    memmap_of_several_blocks: bool = False
    crash_hotplug: bool = False
    memory_failure: bool = True
    poison_stops_online: bool = False
    mirror_needs_a_mirrored_range: bool = False
    virtio_mem_retries_removal: bool = False
    movable_watermarks_apart: bool = False
    zoneinfo_promo: bool = False
    meminfo_unaccepted: bool = False
    fallback_claims_first: bool = False
    memmap_reserved_on_itself: bool = False
    anon_looks_like_ksm: bool = False
    tails_have_own_flags: bool = True
    more_node_counters: bool = False


_BEFORE_ZONE_WORDS = frozenset({OnlineType.OFFLINE, OnlineType.ONLINE})

PROFILES: dict[str, Profile] = {
    profile.name: profile
    for profile in (
        Profile(
            name="6.12",
            release="6.12.117+deb12-cloud-amd64",
            recorded=True,
            auto_online=OnlineType.ONLINE,
            memmap_force=True,
            memmap_of_several_blocks=True,
            crash_hotplug=True,
            poison_stops_online=True,
            mirror_needs_a_mirrored_range=True,
            virtio_mem_retries_removal=True,
            movable_watermarks_apart=True,
            zoneinfo_promo=True,
            meminfo_unaccepted=True,
            fallback_claims_first=True,
            anon_looks_like_ksm=True,
            tails_have_own_flags=False,
            more_node_counters=True,
        ),
        Profile(
            name="6.1",
            release="6.1.0-56-cloud-amd64",
            recorded=True,
            auto_online=OnlineType.OFFLINE,
            memmap_reserved_on_itself=True,
            memory_failure=False,
        ),
        # The three below are from reports, not recorded.
        Profile(
            name="3.9",
            release="3.9.0",
            recorded=False,
            auto_online=OnlineType.OFFLINE,
            movable_must_be_adjacent=True,
            valid_zones_file=False,
            auto_online_file=False,
            module_parameters=False,
        ),
        Profile(
            name="3.8",
            release="3.8.0",
            recorded=False,
            auto_online=OnlineType.OFFLINE,
            hot_remove=False,
            movable_must_be_adjacent=True,
            valid_zones_file=False,
            auto_online_file=False,
            module_parameters=False,
        ),
        Profile(
            name="3.2",
            release="3.2.0",
            recorded=False,
            auto_online=OnlineType.OFFLINE,
            hot_remove=False,
            online_words=_BEFORE_ZONE_WORDS,
            valid_zones_file=False,
            auto_online_file=False,
            module_parameters=False,
        ),
    )
}


def profile_of(release: str) -> Profile | None:
    """Find the profile for what ``uname -r`` prints: the same first two numbers."""
    series = ".".join(release.split(".")[:2]).split("-")[0].split("+")[0]
    return PROFILES.get(series)


def profile_like(release: str) -> Profile:
    """Find the profile for what ``uname -r`` prints; the newest where it has none."""
    return profile_of(release) or next(iter(PROFILES.values()))
