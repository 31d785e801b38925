"""Loops and comprehensions: the rounds they run, what these carry on, bind and create."""
