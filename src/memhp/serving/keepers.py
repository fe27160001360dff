"""What becomes of a served kernel's finished changes: nothing, or a row in its state file."""

from contextlib import suppress

from memhp.model.kernel import Kernel
from memhp.model.steps import KernelRefusal, WouldBlock
from memhp.model.store import StateFile
from memhp.model.store_log import Deed
from memhp.model.tree.tree import Tree
from memhp.serving.served_kernel import Change


class NothingKept:
    """For machines that live in memory only."""

    def keep(self, kernel: Kernel, change: Change, *, alone: bool) -> None:
        """Forget it."""


class KeptInFile:
    """Saves each finished change in a state file, one transaction a change."""

    def __init__(self, file: StateFile, part: str) -> None:
        self._file = file
        self._part = part

    def keep(self, kernel: Kernel, change: Change, *, alone: bool) -> None:
        """Save the kernel as it stands after the change; raises ``MachineError``.

        While another change is half way, the live kernel is in a state that
        nobody could go on from after a kill. What is saved then is the state
        before, to which this change alone is made again.
        """
        deed = Deed(
            part=self._part,
            asked=change.asked,
            outcome=change.outcome,
            uevents=tuple(change.uevents),
            messages=tuple(change.messages),
        )
        self._file.keep(kernel if alone else self._made_again(change), deed)

    def _made_again(self, change: Change) -> Kernel:
        kernel = self._file.load(self._part)
        # Refused or not is the live kernel's word; the log has it.
        with suppress(KernelRefusal, WouldBlock):
            Tree(kernel).write(change.path, change.text)
        return kernel
