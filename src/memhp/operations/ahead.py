"""What comes next on the way to what was asked for."""

from dataclasses import dataclass

from memhp.core.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Ahead:
    """A plan that leads on. ``to_the_end``: the deadline does not keep it from being carried out.

    So is what ends something half done: a device that is out already, memory
    that was taken and not given yet. With a pause, it is worth trying only on a
    machine that changes by itself, and only after so many seconds.
    """

    plan: Plan
    to_the_end: bool = False
    pause_seconds: float = 0.0


def ahead(plan: Plan, *, to_the_end: bool = False) -> Ahead | None:
    """The plan, if there is anything in it."""
    return Ahead(plan=plan, to_the_end=to_the_end) if plan.steps else None
