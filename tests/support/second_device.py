"""A second device on a machine that has none: tensors that were put there refuse what a GPU's would refuse.

Its storage is the CPU's. Every call of torch goes through `SecondDevice`, which knows by its storage where a tensor is:
what is made from tensors there stays there, a call that mixes them with plain ones fails, and so does NumPy.
"""

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map_only

NAME = "cuda:0"
DEVICE = torch.device(NAME)
DEVICE_OF = torch.Tensor.device.__get__
READING = (torch.device, torch._C._nn._parse_to)  # of a device's name
LEAVING = (torch.Tensor.cpu, torch.Tensor.item, torch.Tensor.tolist, torch.Tensor.__float__, torch.Tensor.__bool__)
MOVING = (torch.Tensor.data.__set__, torch._has_compatible_shallow_copy_type)


class SecondDevice(TorchFunctionMode):
    """Every call of torch as long as the second device is there.

    Attributes:
        calls: calls that computed there.
        kept: all that was there, so that no storage is used again.
    """

    def __init__(self):
        super().__init__()
        self.places, self.kept, self.calls = set(), [], 0

    def is_there(self, tensor):
        return (tensor.untyped_storage().data_ptr() if tensor.numel() else -id(tensor)) in self.places

    def put(self, tensor):
        self.places.add(tensor.untyped_storage().data_ptr() if tensor.numel() else -id(tensor))  # no storage: itself
        self.kept.append(tensor)
        return tensor

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function in READING:
            return function(*args, **kwargs)
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        there = [self.is_there(tensor) for tensor in tensors]
        if function == DEVICE_OF:
            return DEVICE if there[0] else function(*args)
        if function in (torch.Tensor.numpy, torch.Tensor.__array__) and any(there):
            raise TypeError(f"can't convert {NAME} device type tensor to numpy")
        if function is torch.Tensor.cpu and any(there):
            return args[0].clone()
        asked = [leaf for leaf in tree_leaves((args, kwargs)) if is_device(leaf)]
        real = lambda leaf: "cpu" if is_second(leaf) else leaf  # noqa: E731
        args, kwargs = tree_map_only((torch.device, str), real, (args, kwargs))
        if function is torch.Tensor.to and asked:
            moved = function(*args, **kwargs)
            if is_second(asked[0]):
                return moved if self.is_there(moved) else self.put(moved.clone())
            return moved.clone() if self.is_there(moved) else moved
        placed = there if function is not torch.Tensor.to else there[:1]  # .to(other) asks where `other` is
        if function is torch.Tensor.to and len(there) == 2:
            moved = function(*args, **kwargs)
            return self.put(moved.clone()) if there[1] and not there[0] else moved
        mixed = any(placed) and not all(on or not t.ndim or not t.numel() for on, t in zip(there, tensors, strict=True))
        if mixed and function not in MOVING:
            raise RuntimeError(f"{function.__name__}: expected all tensors to be on the same device, {NAME} or cpu")
        result = function(*args, **kwargs)
        if function in LEAVING or function in MOVING:
            return result
        if any(there) or any(map(is_second, asked)):
            self.calls += 1
            for leaf in tree_leaves(result):
                if isinstance(leaf, torch.Tensor):
                    self.put(leaf)
        return result


def is_device(leaf):
    return isinstance(leaf, torch.device) or (isinstance(leaf, str) and leaf in ("cpu", NAME))


def is_second(leaf):
    return is_device(leaf) and str(leaf) == NAME
