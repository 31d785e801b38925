"""Writing an NNX class: from the analysis of a Linen class to text edits."""
