"""The ranks of inputs, as code shows them."""
