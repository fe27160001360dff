"""The modelled kernel's sysfs, procfs and debugfs."""
