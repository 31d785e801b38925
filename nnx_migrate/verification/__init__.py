"""`verify`: which models of a project are compared, before and after, and what came of it.

`before` gets at the code before, `listed` reads the models that the configuration names, `cases` makes pairs of
sources out of them and of those found in the code, `assumed` those of converted classes that are left, `running` has
them proven (by `numerics`), `comparison` does all of that in order.
"""
