"""The vocabulary of memory hotplug: frozen values, without I/O and without a clock."""
