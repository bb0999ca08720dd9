"""The constant matrices of a graph and the nodes that read them, in the form that ONNX Runtime's quantizers support."""

from __future__ import annotations

import onnx_ir as ir

from prebake.bake.graphs.initializers import MIN_EXTERNAL_BYTES


def split_gemms(model: ir.Model) -> None:
    """Replace each ``Gemm`` with a constant matrix by ``MatMul`` and ``Add``, which the quantizers support."""
    for node in list(model.graph):
        weight = node.inputs[1] if node.op_type == "Gemm" and node.domain == "" else None
        if weight is None or weight.const_value is None or _is_scaled(node):
            continue
        array = weight.const_value.numpy()
        matrix = ir.Value(name=f"{node.name or node.outputs[0].name}_matrix")
        transposed = array.T if node.attributes.get_int("transB", 0) else array
        matrix.const_value = ir.Tensor(transposed.copy(), name=matrix.name)
        matrix.shape, matrix.dtype = ir.Shape(transposed.shape), matrix.const_value.dtype
        model.graph.initializers[matrix.name or ""] = matrix
        _replace(model.graph, node, matrix)


def _is_scaled(node: ir.Node) -> bool:
    scales = (node.attributes.get_float("alpha", 1.0), node.attributes.get_float("beta", 1.0))
    return bool(node.attributes.get_int("transA", 0)) or scales != (1.0, 1.0)


def _replace(graph: ir.Graph, node: ir.Node, matrix: ir.Value) -> None:
    output, bias = node.outputs[0], node.inputs[2] if len(node.inputs) > 2 else None
    nodes = [ir.Node("", "MatMul", [node.inputs[0], matrix], name=f"{node.name}_product")]
    if bias is not None:
        nodes.append(ir.Node("", "Add", [nodes[0].outputs[0], bias], name=f"{node.name}_sum"))
        nodes[0].outputs[0].name = f"{output.name}_product"
        nodes[0].outputs[0].type, nodes[0].outputs[0].shape = output.type, output.shape
    last = nodes[-1].outputs[0]
    last.type, last.shape = output.type, output.shape
    ir.convenience.replace_nodes_and_values(graph, node, [node], nodes, [output], [last])


def name_nodes(model: ir.Model) -> None:
    """Give each node of the main graph a unique name, since the quantizers select nodes by name."""
    taken: set[str] = set()
    for number, node in enumerate(model.graph):
        if not node.name or node.name in taken:
            node.name = f"{node.op_type}_{number}_prebake"
        taken.add(node.name)


def is_constant_matrix(value: ir.Value | None) -> bool:
    """Whether ``value`` is a large fp32 initializer of two axes or more."""
    tensor = value.const_value if value is not None else None
    if tensor is None or tensor.dtype != ir.DataType.FLOAT:
        return False
    return len(tensor.shape) >= 2 and tensor.nbytes >= MIN_EXTERNAL_BYTES


def find_matrix_readers(model: ir.Model) -> dict[str, str]:
    """The operator type of every node that reads a constant fp32 matrix, by node name."""
    return {
        node.name or f"{node.op_type} {id(node)}": node.op_type
        for graph in model.graphs()
        for node in graph
        if any(is_constant_matrix(value) for value in node.inputs)
    }
