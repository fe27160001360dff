"""virtio-mem (placeholder being written)."""
from memhp.model.kernel import Kernel
from memhp.model.devices import VirtioMemDevice
from memhp.model.steps import Steps
def resize(kernel: Kernel, device: VirtioMemDevice, size_bytes: int) -> Steps[int]:
    return 0
    yield
