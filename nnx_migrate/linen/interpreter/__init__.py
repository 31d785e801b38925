"""The abstract interpreter: what Linen methods construct, call and return, without running them."""
