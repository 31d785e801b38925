"""A small convolutional network."""

from collections.abc import Sequence

import flax.linen as nn


class CNN(nn.Module):
    """Convolutions with batch normalisation, then a classifier with dropout."""

    num_classes: int
    widths: Sequence[int] = (8, 16)
    dropout_rate: float = 0.5

    @nn.compact
    def __call__(self, x, train: bool):
        for width in self.widths:
            x = nn.Conv(width, (3, 3), use_bias=False)(x)
            x = nn.BatchNorm(use_running_average=not train, momentum=0.9)(x)
            x = nn.relu(x)
            x = nn.max_pool(x, (2, 2), strides=(2, 2))
        x = x.reshape((x.shape[0], -1))  # (batch, features)
        x = nn.Dense(32)(x)
        x = nn.relu(x)
        x = nn.Dropout(self.dropout_rate, deterministic=not train)(x)
        return nn.Dense(self.num_classes)(x)
