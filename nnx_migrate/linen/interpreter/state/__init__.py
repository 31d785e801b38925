"""Variables of modules: parameters, caches, and what asks for them."""
