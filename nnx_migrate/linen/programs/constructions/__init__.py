"""Where programs construct modules, and with what."""
