"""Programs around Linen classes: where modules are made, initialised and applied."""
