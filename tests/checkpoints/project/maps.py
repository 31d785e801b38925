"""The maps that a migration of old_models to new_models records."""

STACK = {"kind": "stack", "axis": 0}
UNSTACK = {"kind": "unstack", "axis": 0}


def module(linen, nnx, name, transform=None):
    entry = {"linen": linen, "nnx": nnx, "module": name}
    return entry if transform is None else {**entry, "transform": transform}


DENSE, CONV, NORM = "flax.linen:Dense", "flax.linen:Conv", "flax.linen:BatchNorm"
MODULES = {
    "new_models:CNN": [
        module(["Conv_0"], ["conv"], CONV),
        module(["BatchNorm_0"], ["bn"], NORM),
        module(["Dense_{i}"], ["layers", "{i}"], DENSE),
    ],
    "new_models:MLP": [module(["Dense_0"], ["hidden"], DENSE), module(["head"], ["head"], DENSE)],
    "new_models:Bridged": [module(["Dense_0"], ["hidden"], None), module(["head"], ["head"], DENSE)],
    "new_models:Recurrent": [
        module(["OptimizedLSTMCell_0"], ["rnn", "cell"], "flax.linen:OptimizedLSTMCell"),
        module(["Dense_0"], ["dense"], DENSE),
    ],
    "new_models:Partitioned": [module(["Dense_0"], ["dense"], DENSE)],
}
SAME_LAYERS = [module(["layer_{i}"], ["layers", "{i}"], DENSE), module(["Dense_0"], ["out"], DENSE)]
SCANNED_TO_LIST = [
    module(["layers", "Dense_0"], ["layers", "{i}"], DENSE, UNSTACK),
    module(["Dense_0"], ["out"], DENSE),
]
SCANNED_TO_SCANNED = [
    module(["layers", "Dense_0"], ["layers"], DENSE),
    module(["Dense_0"], ["out"], DENSE),
]
LIST_TO_SCANNED = [
    module(["layer_{i}"], ["layers"], DENSE, STACK),
    module(["Dense_0"], ["out"], DENSE),
]
