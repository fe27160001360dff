"""The modelled kernel: memory hotplug down to the memory block.

It answers like the kernel (same files, same words, same errno, same zones) and
is our own code. ``docs/fidelity.md`` lists every rule with its source and what
is left out.
"""
