"""Blocks brought online or taken offline in turn by one program in the guest. Pure.

Each question to an agent takes time from the guest and from whoever waits; so
one program takes all blocks of a run, and tells of each as it goes: in a line
of what it prints, and of a file, where it can make one. Its name holds a tag,
by which it, and what it has started, is found and ended when memhp has died.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from memhp.core.outcome import Outcome
from memhp.core.plan import ExpectBlock, OfflineBlock, OnlineBlock, Step
from memhp.core.words import BlockState, OnlineType
from memhp.machines.linux.apply import apply_logical
from memhp.machines.linux.root import MEMORY
from memhp.machines.qemu.shell_errors import errno_name

_FIELDS: Final = 7
# The watch ends what goes on after memhp has died, where a block takes for ever. A shell that
# does not say why a write failed (dash says "I/O error", whatever it was) lets dd write.
_SCRIPT: Final = f"""export LC_ALL=C
tag=$0 watch=$1 shift=$2; shift 2; export MEMHP_RUN=$tag
cd /{MEMORY} || exit 0
told=/tmp/$tag; set -C; {{ true > $told; }} 2>/dev/null || told=; set +C
say() {{ echo "$1"; [ -z "$told" ] || echo "$1" >> $told; }}
put() {{ echo $1 > $2; }}
case $({{ echo > /dev/full; }} 2>&1) in *space*) ;; *) put() {{ echo $1 | dd of=$2; }} ;; esac
up() {{ read -r now rest < /proc/uptime; }}
look() {{ s= z=; [ ! -d $1 ] || {{ read -r s < $1/state; read -r z < $1/valid_zones; }}; }}
( trap 'kill $p; exit' TERM; sleep $watch & p=$!; wait $p; kill -KILL $$ ) >/dev/null 2>&1 &
w=$!
up; end=$((${{now%.*}} + shift))
while [ $# -gt 0 ]; do look memory$1; before="$s|$z"
case "$before" in $4) ;; *) say "$1|$before||||$now"; break;; esac
put $2 memory$1/state; c=$?; look memory$1; up
say "$1|$before|$s|$z|$c|$now"; [ "$s" = $3 ] || break
shift 4; [ ${{now%.*}} -lt $end ] || break; done
kill $w; [ -z "$told" ] || rm -f $told
"""
_LOOK: Final = f"""cd /{MEMORY}/memory$1 || exit 0
read -r s < state; read -r z < valid_zones; echo "$s|$z"
"""
# It is given the tag without its first letter, so that it does not find itself.
_END: Final = """n=0
left() { l=$(cd /proc; grep -l "[m]$1" [0-9]*/cmdline [0-9]*/environ 2>/dev/null); [ -n "$l" ]; }
while [ $n -lt 600 ] && left $1; do
for f in $l; do kill -KILL ${f%/*} 2>/dev/null; done
sleep 0.05; n=$((n + 1)); done
rm -f /tmp/m$1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockLine:
    """What a run tells of one block: state and zones before and after, and how the write ended.

    ``before`` and ``after`` are ``None`` where the block was not there, or was not
    touched. ``code`` is the shell's; ``uptime_seconds`` the guest's own clock at its end.
    """

    block: int
    before: tuple[str, str] | None
    after: tuple[str, str] | None
    code: int
    uptime_seconds: float


def run_arguments(
    steps: Sequence[Step], tag: str, *, watch_seconds: int, shift_seconds: int
) -> list[str]:
    """The shell's arguments for a run; it begins no block once ``shift_seconds`` are over."""
    words = [word for step in steps for word in _words(step)]
    return ["-c", _SCRIPT, tag, str(watch_seconds), str(shift_seconds), *words]


def look_arguments(block: int) -> list[str]:
    """The shell's arguments for a look at one block."""
    return ["-c", _LOOK, "sh", str(block)]


def end_arguments(tag: str) -> list[str]:
    """The shell's arguments for ending whatever is left of a run, with a wait for its end."""
    return ["-c", _END, "sh", tag.removeprefix("m")]


def lines_of(text: str) -> Iterator[BlockLine]:
    """What a run has told so far; a line that is not whole, or of something else, is left out."""
    for line in text.split("\n")[:-1]:
        fields = line.split("|")
        if len(fields) != _FIELDS or not fields[0].isdecimal():
            continue
        number, state, zones, state_after, zones_after, code, uptime = fields
        try:
            yield BlockLine(
                block=int(number),
                before=(state, zones) if state else None,
                after=(state_after, zones_after) if state_after else None,
                code=int(code or 0),
                uptime_seconds=float(uptime),
            )
        except ValueError:
            continue


def outcome_of(step: Step, line: BlockLine, said: str) -> Outcome:
    """What came of a step; ``said`` is all that the program complained of, at its last block."""
    return judged(step, line.before, line.after, errno_name(said) if line.code else None)


def interrupted(step: Step, seen: str) -> Outcome:
    """What came of the step at which a run was ended, by a look at its block afterwards.

    The block's state after the signal counts, not what the program got to say.
    """
    pair = seen.strip().partition("|")
    after = (pair[0], pair[2]) if pair[0] else None
    before = _as_expected(step) if after is not None else None
    return judged(step, before, after, "EINTR")


def judged(
    step: Step, before: tuple[str, str] | None, after: tuple[str, str] | None, error: str | None
) -> Outcome:
    """What came of a step, by the rules for every Linux machine."""
    seen = [before]

    def read(path: str) -> str | None:
        return None if seen[0] is None else seen[0][0 if path.endswith("/state") else 1]

    def write(_path: str, _word: str) -> str | None:
        seen[0] = after
        return error

    return apply_logical(step, machine=step.machine, read=read, write=write)


def _words(step: Step) -> list[str]:
    action = step.action
    assert isinstance(action, OnlineBlock | OfflineBlock)  # noqa: S101 - checked by the caller
    word = action.online_type if isinstance(action, OnlineBlock) else OnlineType.OFFLINE
    wanted = BlockState.ONLINE if isinstance(action, OnlineBlock) else BlockState.OFFLINE
    return [str(action.block), word, wanted, _pattern(step.expect)]


def _pattern(expect: object) -> str:
    """A shell pattern for what a block has to read just before."""
    if not isinstance(expect, ExpectBlock):
        return "[!|]*"
    if expect.state is BlockState.OFFLINE:
        return "offline|*"
    return f"{expect.state}|{expect.zone or 'none'}"


def _as_expected(step: Step) -> tuple[str, str]:
    expect = step.expect
    if not isinstance(expect, ExpectBlock):
        return "", ""
    return expect.state, expect.zone or "none"
