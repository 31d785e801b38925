"""What is known after code that may have taken one path or another."""
