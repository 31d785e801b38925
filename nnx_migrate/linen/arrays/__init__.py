"""Abstract arrays: shapes, lists of arrays, what may be None."""
