"""What the fields of modules hold."""
