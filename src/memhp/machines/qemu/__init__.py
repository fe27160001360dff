"""A running QEMU guest from the host: QMP for the physical phase, the agent for the logical one."""
