"""Functions of MLIR that tests write: arguments, constants and quantized tensors by name, their arrays beside them."""

import numpy as np
from quantized import tensor_type, to_f32
from samples import Call, Sample, difference, rng_of


class Function:
    """A function being written: arguments and constants, then the body. All of one sample's arrays are drawn from it."""

    def __init__(self, name, seed):
        self.name, self.body, self.arguments, self.inputs = name, "", [], {}
        self.r, self.numbers = rng_of("formats", seed, name), np.random.default_rng([seed, int(name[1:])])

    def attributes(self, name, shape, dims):
        listed = ", ".join(f'"{dims[at]}"' if at in dims else str(size) for at, size in enumerate(shape))
        return f'{{qlow.name = "{name}", qlow.dims = [{listed}]}}' if dims else f'{{qlow.name = "{name}"}}'

    def argument(self, name, shape, element, dims, parts):
        """`dims` names the open dimensions."""
        self.arguments.append(f"%{name}: {tensor_type(shape, element, dims)} {self.attributes(name, shape, dims)}")
        self.inputs.update(parts)

    def constant(self, name, array, element):
        text = f'dense<"0x{np.array(array, order="C").tobytes().hex()}">' if array.size else "dense<>"
        self.body += f"  %{name} = arith.constant {text} : {tensor_type(array.shape, element)}\n"

    def part(self, name, part, constant):
        """%name, a constant or an argument; returns its type."""
        shape = part.array.shape
        if constant:
            self.constant(name, part.array, part.element)
        else:
            self.argument(name, shape, part.element, {}, {name: part.array})
        return tensor_type(shape, part.element)

    def parts(self, name, tensor, with_codes, how):
        """The parts of a quantized tensor as values; returns their names and types."""
        names, types = [], []
        for part in tensor.parts(with_codes):
            names.append(f"%{name}_{part.suffix}")
            constant = how == "constant" or how == "mixed" and self.r.random() < 0.5
            types.append(self.part(names[-1][1:], part, constant))
        return names, types

    def quantized(self, name, tensor, dims, how):
        """%name, whole as an argument or composed of parts; returns its type."""
        shape = tensor.codes.shape
        type_ = tensor_type(shape, tensor.type, dims)
        if how == "argument" or dims:
            self.argument(name, shape, tensor.type, dims, {f"{name}_{part.suffix}": part.array for part in tensor.parts()})
            return type_
        names, types = self.parts(name, tensor, True, how)
        self.body += f"  %{name} = qlow.compose {', '.join(names)} : ({', '.join(types)}) -> {type_}\n"
        return type_

    def sample(self, results, description, where, sizes, check):
        """`results`: value, type, C name, array shape and dtype, open dimensions and their named shape of each."""
        types = ", ".join(f"{type_} {self.attributes(name, shape, dims)}" for _, type_, name, shape, _, dims in results)
        outputs = {}
        for _, _, name, shape, stored, _ in results:
            outputs.update(stored if isinstance(stored, dict) else {name: (shape, stored)})
        text = (f"// {description}\nfunc.func @{self.name}({', '.join(self.arguments)})\n    -> ({types}) {{\n{self.body}"
                f"  return {', '.join(r[0] for r in results)} : {', '.join(r[1] for r in results)}\n}}\n\n")
        call = Call(where, sizes, self.inputs, outputs, check)
        return Sample(self.name, text, [call], description)


def of_parts(name, tensor):
    """What a quantized result gives: (shape, dtype) by C field."""
    return {f"{name}_{part.suffix}": (part.array.shape, part.array.dtype) for part in tensor.parts()}


def same(name, want, element=None):
    """A check that a result has these bits; NaN is NaN where they are floats of type `element`."""
    def check(got):
        found = got[name]
        if element:
            both = np.isnan(to_f32(element, found)) & np.isnan(to_f32(element, want))
            found = np.where(both, want, found).astype(want.dtype)
        return difference(found, want)
    return check
