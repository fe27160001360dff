"""Memory hotplug for Linux: plan it, carry it out, undo it, on hosts, guests and a model."""

__version__ = "0.1.0"
