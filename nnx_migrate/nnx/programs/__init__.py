"""Writing the programs around converted classes."""
