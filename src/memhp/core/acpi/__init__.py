"""ACPI's tables about memory and distance: SRAT, SLIT, HMAT; bytes in, values out."""
