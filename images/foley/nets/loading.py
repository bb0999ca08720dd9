"""Strict loading: every tensor by name and shape, every fault in one error."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from torch import Tensor, nn

Shapes = Mapping[str, Sequence[int]]


class TensorsDiffer(ValueError):
    """A file's tensors are not those of the network. The text lists all missing, extra and mis-shaped ones."""


def load(module: nn.Module, tensors: Mapping[str, Tensor], source: str, ignored: Sequence[str] = ()) -> None:
    """Put ``tensors`` into ``module`` as float32, without copying those that are float32 already, and set it to eval mode.

    ``ignored`` are the beginnings of names that ``source`` may hold beyond the module's own. Raises TensorsDiffer.
    """
    check(module, {name: tensor.shape for name, tensor in tensors.items()}, source, ignored)
    own = {name: tensors[name].float() for name, _ in module.named_parameters()}
    module.load_state_dict(own, strict=False, assign=True)
    module.eval().requires_grad_(False)


def check(module: nn.Module, shapes: Shapes, source: str, ignored: Sequence[str] = ()) -> None:
    """Compare a file's names and shapes with those of ``module``. Raises TensorsDiffer."""
    faults = find_faults({name: parameter.shape for name, parameter in module.named_parameters()}, shapes, ignored)
    if faults:
        raise TensorsDiffer(
            f"{source}: {len(faults)} of its tensors are not those of {type(module).__name__}:\n"
            + "\n".join(f"  {fault}" for fault in faults)
            + "\nIs this the published file, whole, and of this model?"
        )


def require(shapes: Collection[str], names: Sequence[str], source: str) -> None:
    """Raise TensorsDiffer with those of ``names`` that are missing: the network's sizes are read from them."""
    missing = [f"  missing {name}" for name in names if name not in shapes]
    if missing:
        raise TensorsDiffer(f"{source}: tensors that define the network's sizes are missing:\n" + "\n".join(missing))


def find_faults(wanted: Shapes, given: Shapes, ignored: Sequence[str] = ()) -> list[str]:
    """One line for each tensor that is missing, unexpected or of another shape, by name."""
    faults = []
    for name in sorted({*wanted, *given}):
        if name not in given:
            faults.append(f"missing {name} {list(wanted[name])}")
        elif name not in wanted:
            if not name.startswith(tuple(ignored)):
                faults.append(f"unexpected {name} {list(given[name])}")
        elif tuple(wanted[name]) != tuple(given[name]):
            faults.append(f"mis-shaped {name} {list(given[name])}, expected {list(wanted[name])}")
    return faults


def select(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with ``prefix``, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
