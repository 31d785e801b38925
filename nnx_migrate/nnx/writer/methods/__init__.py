"""Methods of the NNX class: modules read from attributes, calls in NNX's form, nothing left over."""
