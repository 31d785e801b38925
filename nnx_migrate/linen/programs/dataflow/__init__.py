"""Where values of a program go to, and where they come from."""
