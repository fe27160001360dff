"""Throwaway guests under QEMU, in which real kernels do what the model says they do."""
