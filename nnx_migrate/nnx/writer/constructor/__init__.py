"""The constructor of the NNX class: its signature, the fields, and the body of `setup`."""
