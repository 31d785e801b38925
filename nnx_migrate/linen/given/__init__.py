"""What callers give to modules and to their methods, as it shows in the program."""
