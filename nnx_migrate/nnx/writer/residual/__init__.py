"""The part of a compact method that creates modules, as the constructor runs it."""
