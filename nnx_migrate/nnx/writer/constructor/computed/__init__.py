"""What `setup` computes from parameters in several statements, or in ways that fields choose.

    self.rate = self.param("rate", init, (3,))
    scale = jnp.exp(self.rate)
    if self.clip:
        self.gain = jnp.clip(scale, 0.0, 1.0)
    else:
        self.gain = scale

Linen runs `setup` in every call, with the values that the parameters then have. The constructor makes the parameters;
`gain` becomes a property with those statements that lead to it.
"""
