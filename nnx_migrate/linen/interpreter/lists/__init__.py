"""Lists of arrays that loops fill and read: the skip connections of a U-Net.

Such a list is known by what all its elements share (`ArrayList`). The sizes in which they differ are symbols,
one for each place that reads an element; the constructor gives them values by doing to a list of sizes what
the method does to the list of arrays. So each step is recorded, and only lists count that nothing but these
steps can change: local names that always hold a fresh list and have no second name (`is_followed`).
"""
