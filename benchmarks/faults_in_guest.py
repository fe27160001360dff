"""What can go wrong while memhp changes the memory of a running machine, and what is held after it.

Each fault is a function: it has memhp at work in a guest from a state that is known
(*before*) towards one that is known (*after*), lets something go wrong at a point
that a seed chooses, goes on with ``resume`` or back with ``undo``, and returns
every difference between the whole machine and what was promised.
"""

import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from memhp.core.errors import ContactLost
from memhp.core.geometry import MIB, NodeId
from memhp.core.outcome import Done
from memhp.core.plan import AddDevice, Step
from memhp.core.words import ExitCode
from memhp.machines.lab.guest import Guest
from memhp.machines.lab.inside import DIMM, MEMORY, Inside, pinned
from memhp.machines.lab.machine import LabMachine

ON, OFF, GONE = "online and movable", "offline", "gone"
STANDINGS = {"online_movable": "online Movable", "offline": "offline Normal Movable"}
DIMM_BYTES = 512 * MIB
LINES = 10
"""Of a journal of four steps, before the last one: two to begin with, two for each step."""
DATA_MIB = 48
_DATA = "/tmp/data"
_DONE = re.compile(r"(online_movable|offline) memory([0-9]+): done")
_SEE = f"""cd /sys/devices/system/memory
for m in memory*; do echo $m $(cat $m/state $m/valid_zones) $(cd $m; ls -d node*); done
echo policy $(cat auto_online_blocks)
cd /sys/bus/acpi/devices/{DIMM}; echo device $(cat status) $(ls -d physical_node* 2>/dev/null)
awk '/^Node/ {{z=$2 $4}} /^ *(spanned|present|managed) |start_pfn/ {{print "zone", z, $1, $2}}
' /proc/zoneinfo
grep 'System RAM' /proc/iomem
echo debug $(grep -c '=[^_]' /sys/kernel/debug/dynamic_debug/control)
echo memhp $(ps | grep -c '[b]in/memhp')"""
Differences = list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """A guest, and how the whole of it looks in each state that is known."""

    here: Inside
    looks: Mapping[str, tuple[str, ...]]
    told: list[str]
    """What was seen of the point: where the kill hit."""
    spoiled: list[str]
    """Why the guest cannot be brought into a known state any more, by nobody's fault."""

    def differences(self, wanted: tuple[str, ...]) -> Differences:
        """Hold the guest against a look; the data in its memory as well."""
        now = look(self.here)
        lines = [f"- {line}" for line in wanted if line not in now]
        lines += [f"+ {line}" for line in now if line not in wanted]
        if self.here.run(f"cmp {_DATA} {_DATA}.kept")[0] != 0:
            lines.append("the data in its memory has changed")
        return lines

    def prepare(self, state: str) -> None:
        """Bring it into a state by hand, with data in what is movable; raises ``ContactLost``."""
        here = self.here
        here.run(f"rm -f {_DATA}; dmesg -n 1")
        if not has_dimm(here):
            plug(here.guest)
        here.bring()
        here.run(f"cat {_DATA}.kept > {_DATA}")
        if state == OFF:
            here.take()
        here.forget()
        wrong = self.differences(self.looks[state])
        if wrong:
            raise ContactLost(machine=here.guest.name, problem=f"cannot be made {state}: {wrong}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A command, the state that it starts from, and the one that it leads to."""

    words: str
    before: str
    after: str


CHANGES = (
    Change(words=f"offline {DIMM}", before=ON, after=OFF),
    Change(words=f"online {DIMM} --zone movable", before=OFF, after=ON),
)
REMOVAL = Change(words=f"remove {DIMM}", before=ON, after=GONE)


def look(here: Inside) -> tuple[str, ...]:
    """All of the guest that memhp could change: blocks, zones, devices, addresses, what it leaves.

    Raises ``ContactLost``.
    """
    return tuple(line.strip() for line in here.run(_SEE)[1].splitlines() if line.strip())


def ground_of(here: Inside) -> Ground:
    """See how the guest looks in each state, brought about by hand."""
    here.run(f"dd if=/dev/urandom of={_DATA}.kept bs=1M count={DATA_MIB} 2>/dev/null")
    here.run(f"cp {_DATA}.kept {_DATA}")
    looks = {}
    here.bring()
    looks[ON] = look(here)
    here.take()
    looks[OFF] = look(here)
    here.run(f"echo 1 > /sys/bus/acpi/devices/{DIMM}/eject; sleep 2")
    looks[GONE] = look(here)
    return Ground(here=here, looks=looks, told=[], spoiled=[])


def has_dimm(here: Inside) -> bool:
    """Whether the DIMM is there."""
    return here.run(f"[ $(cat /sys/bus/acpi/devices/{DIMM}/status) != 0 ]")[0] == 0


def plug(guest: Guest) -> None:
    """Put the DIMM in, from outside."""
    machine = LabMachine(guest)
    machine.settle()
    action = AddDevice(device="dimm0", size_bytes=DIMM_BYTES, node=NodeId(0))
    step = Step(machine=machine.name, action=action)
    outcome = machine.apply(step, until=None, tell=lambda _progress: None)
    if not isinstance(outcome, Done):
        raise ContactLost(machine=guest.name, problem=f"does not take the DIMM ({outcome})")


def killed_between_steps(ground: Ground, chance: random.Random, word: str) -> Differences:
    """``kill -9`` when a step has ended and the next was not begun, as the journal has it."""
    change = chance.choice(CHANGES)
    ground.prepare(change.before)
    ground.here.kill_after(change.words, chance.choice(range(2, LINES + 1, 2)))
    return _goes_on(ground, word, change)


def killed_at_a_step(ground: Ground, chance: random.Random, word: str) -> Differences:
    """``kill -9`` when a step was noted and is asked for, a moment later or two."""
    change = chance.choice(CHANGES)
    ground.prepare(change.before)
    lines = chance.choice(range(3, LINES, 2))
    ground.here.kill_after(change.words, lines, pause=chance.random() / 5)
    return _goes_on(ground, word, change)


def killed_in_a_write(ground: Ground, chance: random.Random, word: str) -> Differences:
    """``kill -9`` while the kernel moves pages of a block; one of them never moves."""
    change = CHANGES[0]
    ground.prepare(change.before)
    with pinned(ground.here.guest):
        ground.here.kill_in_write(change.words, chance.randint(1, 40))
        if word == "undo":
            return _goes_on(ground, word, change)
    return _goes_on(ground, word, change)


def killed_in_a_removal(ground: Ground, chance: random.Random, word: str) -> Differences:
    """``kill -9`` at any moment of a removal: before it, its blocks, its eject, after it."""
    ground.prepare(REMOVAL.before)
    lines = chance.randint(2, LINES + 3)
    ground.here.kill_after(REMOVAL.words, lines, pause=chance.random() / 5)
    return _goes_on(ground, word, REMOVAL)


def vetoed(ground: Ground, chance: random.Random, word: str) -> Differences:
    """A driver says no to a transition, and perhaps to its way back as well."""
    change = chance.choice(CHANGES)
    change = replace(change, words=change.words + chance.choice(("", " --all-or-nothing")))
    ground.prepare(change.before)
    own = "MEM_GOING_OFFLINE" if change.after == OFF else "MEM_GOING_ONLINE"
    actions = chance.choice(((own,), ("MEM_GOING_OFFLINE", "MEM_GOING_ONLINE")))
    with ground.here.injected(*actions, at_line=2 * chance.randint(1, 4) - 1):
        found = _ends_as_it_says(ground, change)
    return found + _afterwards(ground, word, change)


def out_of_time(ground: Ground, chance: random.Random, word: str) -> Differences:
    """The deadline comes while a block migrates, one page of which never moves."""
    change = CHANGES[0]
    more = f" --deadline {chance.randint(1, 4)}s" + chance.choice(("", " --all-or-nothing"))
    change = replace(change, words=change.words + more)
    ground.prepare(change.before)
    with pinned(ground.here.guest):
        found = _ends_as_it_says(ground, change)
        if word == "undo":
            return found + _afterwards(ground, word, change)
    return found + _afterwards(ground, word, CHANGES[0])


def out_of_room(ground: Ground, chance: random.Random, word: str) -> Differences:
    """The disk is full under the journal: by pages, or in the middle of a line."""
    change = chance.choice(CHANGES)
    ground.prepare(change.before)
    here = ground.here
    with here.small_disk(chance.randint(1, 2)) as folder:
        under = f"prlimit --fsize={chance.randint(1, 6000)}" if chance.random() < 0.5 else ""
        if under:
            here.enlarge(folder)
        command = here.command(change.words, folder, under=under)
        code, text = here.run(f"{command} < /dev/null 2>&1")
        here.enlarge(folder)
        if code not in {ExitCode.DONE, ExitCode.MACHINE}:
            return [f"exit code {code}: {text}"]
        if here.run(f"[ -e {here.journal(folder)} ]")[0] != 0:
            return ground.differences(ground.looks[change.before])
        return _goes_on(replace(ground, here=replace(here, state=folder)), word, change)


def rivalled(ground: Ground, chance: random.Random, word: str) -> Differences:
    """Another program brings the same blocks online, in another zone."""
    change = CHANGES[1]
    ground.prepare(change.before)
    here = ground.here
    word_of_theirs = chance.choice(("online_kernel", "online_kernel", "online_movable"))
    with here.rival(word_of_theirs, at_line=chance.randint(2, 8)):
        code, text = here.memhp(change.words)
    found = []
    for number, (state, zone) in here.blocks().items():
        told = next((line for line in text.splitlines() if f"memory{number}" in line), "")
        if (": done" in told) != (zone == "Movable"):
            found.append(f"memory{number} is {state} in {zone}, and was told: {told} ({code})")
    theirs = [n for n, (_, zone) in here.blocks().items() if zone == "Normal"]
    if theirs and word == "undo":
        before = look(here)
        code, text = here.memhp("undo 1")
        found += [] if code == ExitCode.STALE else [f"undo ended with {code}: {text}"]
        found += ground.differences(before)
    for number in theirs:
        code, _ = here.run(f"echo offline > {MEMORY}/memory{number}/state")
        if code != 0:
            # Kernel memory has come to what is a kernel zone by now.
            ground.spoiled.append(f"memory{number}")
            return found
    return found + _afterwards(ground, word, change)


Fault = Callable[[Ground, random.Random, str], Differences]
FAULTS: Mapping[str, Fault] = {
    "killed between two steps": killed_between_steps,
    "killed at a step": killed_at_a_step,
    "killed in the middle of a write": killed_in_a_write,
    "killed at a removal": killed_in_a_removal,
    "a driver's veto": vetoed,
    "the deadline while a block migrates": out_of_time,
    "no room for the journal": out_of_room,
    "a rival onliner": rivalled,
}


def _goes_on(ground: Ground, word: str, change: Change) -> Differences:
    """Resume or undo what was killed, and hold the machine against what that promises."""
    here = ground.here
    ground.told.append(_where(ground))
    code, text = here.memhp(f"{word} 1")
    for _ in range(3):
        if code != ExitCode.UNKNOWN_OUTCOME:
            break
        here.run("sleep 2")
        code, text = here.memhp(f"{word} 1")
    if code == ExitCode.REFUSED and f"once {DIMM} is there" in text:
        found = ground.differences(ground.looks[GONE])
        plug(here.guest)
        return found + _goes_on(ground, word, change)
    if code == ExitCode.DONE:
        wanted = change.after if word == "resume" else change.before
    elif code == ExitCode.USAGE and "has no journal" in text:
        wanted = change.before
    elif code == ExitCode.USAGE and "has ended (done)" in text:
        wanted = change.after
    else:
        return [f"{word} ended with {code}: {text}"]
    return [f"after {word}: {line}" for line in ground.differences(ground.looks[wanted])]


def _where(ground: Ground) -> str:
    """What the journal says of the moment of the kill."""
    last = ground.here.run(f"tail -n 1 {ground.here.journal()} 2>/dev/null")[1]
    for kind, what in (("Intended", "within a step"), ("Finished", "after the end")):
        if f'"type":"{kind}"' in last[:30]:
            return what
    return "between steps" if last else "before the journal"


def _ends_as_it_says(ground: Ground, change: Change) -> Differences:
    """Have a change end by itself; each block has to be as the last word about it says."""
    code, text = ground.here.memhp(change.words)
    said = {f"memory{number}": word for word, number in _DONE.findall(text)}
    wanted = dict(_blocks_of(ground.looks[change.before]))
    wanted.update({block: STANDINGS[word] for block, word in said.items()})
    now = dict(_blocks_of(look(ground.here)))
    found = [
        f"{block} is {now[block]}, and {wanted[block]} was told: {text}"
        for block in wanted
        if now[block] != wanted[block]
    ]
    whole = {ExitCode.DONE: change.after, ExitCode.REFUSED: change.before}
    if code in whole:
        return found + ground.differences(ground.looks[whole[ExitCode(code)]])
    return found if code == ExitCode.PARTLY else [*found, f"exit code {code}: {text}"]


def _afterwards(ground: Ground, word: str, change: Change) -> Differences:
    """With the fault gone: back all the way, or nothing to resume, and the same asked anew."""
    here = ground.here
    if word == "undo":
        code, text = here.memhp("undo 1")
        found = ground.differences(ground.looks[change.before])
        return found if code == ExitCode.DONE else [*found, f"undo ended with {code}: {text}"]
    now = look(here)
    code, text = here.memhp("resume 1")
    found = ground.differences(now)
    if code != ExitCode.USAGE or "has ended" not in text:
        found.append(f"resume of what has ended: {code}: {text}")
    code, text = here.memhp(change.words)
    if code not in {ExitCode.DONE, ExitCode.REFUSED} or (code and "nothing to" not in text):
        found.append(f"asked anew it ended with {code}: {text}")
    return found + ground.differences(ground.looks[change.after])


def _blocks_of(seen: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Each block with its state and zones, from a look."""
    for line in seen:
        words = line.split()
        if words[0].startswith("memory"):
            yield words[0], " ".join(words[1:-1])
