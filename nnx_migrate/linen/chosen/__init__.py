"""What conditions, tables and fields choose: one of several classes, layers, partials or functions."""
