"""The rules: one file each, named after its rule. Copy a short one to start your own (see CONTRIBUTING)."""
