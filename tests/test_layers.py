"""The house rules that a machine can check: imports point up, spec/ never meets torch, files stay small."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "triscale"
FILES = sorted(SOURCE.rglob("*.py"))

# Read top to bottom: what stands on a line imports from the lines above it, and from its own folder.
# `triscale` is the public API itself (src/triscale/__init__.py): only the two faces stand below it.
ORDER = [
    "errors",
    "atomic",
    "cache",
    "spec",
    "models",
    "modules",
    "detection",
    "data",
    "training",
    "search",
    "deployment",
    "report",
]
ORDER += ["fit", "triscale", "cli", "web", "__main__"]

# Torch-free at run time: they must answer at once.
QUICK_COMMANDS = (
    ["list"],
    ["info", "efficientnet_b0"],
    ["info", "efficientdet_d0", "--layers"],
    ["scale", "efficientnet_b0", "--budget", "macs<=200M"],
    ["scale", "efficientdet_d0", "--budget", "macs<=2G, params<=4M"],
)
# Other people's networks: tests and benchmarks compare with them, what we ship never needs them.
PEERS = {"timm", "torchvision", "effdet", "efficientnet_pytorch", "efficientnet_lite_pytorch"}


def module_name(file):
    parts = ["triscale", *file.relative_to(SOURCE).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(file): ast.parse(file.read_text(), str(file)) for file in FILES}


def imports(tree):
    """Every module that is imported anywhere in a file, inside functions too, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute here"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield (whole if whole in MODULES else node.module), node.lineno


def folder(module):
    """What ORDER calls it: the part behind `triscale.`, or `triscale` for the public API."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "triscale"


def own_imports(tree):
    return {(name, line) for name, line in imports(tree) if name.split(".")[0] == "triscale"}


def functions(tree):
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def public_functions(tree):
    """Functions of a module, and methods of its public classes, that anybody may call."""
    bodies = [tree.body, *(n.body for n in tree.body if isinstance(n, ast.ClassDef) and not n.name.startswith("_"))]
    found = [n for body in bodies for n in body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    return [f for f in found if not f.name.startswith("_") or f.name in ("__init__", "__call__")]


def length(function):
    """Lines of a function without its docstring, which for a command is its whole help text."""
    first = function.body[0]
    documented = ast.get_docstring(function) is not None
    return function.end_lineno - function.lineno + 1 - (first.end_lineno - first.lineno + 1 if documented else 0)


def test_every_folder_has_its_place_in_the_order():
    assert {folder(module) for module in MODULES} <= set(ORDER)


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_only_point_up(module):
    place = ORDER.index(folder(module))
    wrong = [f"line {n}: {name}" for name, n in own_imports(MODULES[module]) if ORDER.index(folder(name)) > place]
    assert wrong == []


def test_no_module_imports_itself_by_a_detour():
    graph = {name: {other for other, _ in own_imports(tree)} - {name} for name, tree in MODULES.items()}
    while leaves := {name for name, needs in graph.items() if not needs & graph.keys()}:
        graph = {name: needs for name, needs in graph.items() if name not in leaves}
    assert sorted(graph) == []


@pytest.mark.parametrize("module", sorted(MODULES))
def test_no_file_unpickles_or_needs_a_peer(module):
    tree = MODULES[module]
    found = {name.split(".")[0] for name, _ in imports(tree)} & (PEERS | {"pickle", "dill", "joblib", "cloudpickle"})
    assert found == set()
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        if ast.unparse(call.func) == "torch.load":
            safe = [k for k in call.keywords if k.arg == "weights_only" and ast.unparse(k.value) == "True"]
            assert safe, f"line {call.lineno}: torch.load without weights_only=True runs code from the file"


def test_spec_never_names_torch():
    named = {
        m for m, tree in MODULES.items() if folder(m) == "spec" for name, _ in imports(tree) if name.startswith("torch")
    }
    assert named == set()


def loads_torch(code):
    """Whether a fresh process that runs `code` ends with torch in it."""
    script = f"import sys\n{code}\nprint('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return run.stdout.splitlines()[-1] == "True"


def test_spec_never_loads_torch():
    modules = [module for module in MODULES if folder(module) in ("errors", "atomic", "spec")]
    assert not loads_torch(f"import {', '.join(['triscale', *modules])}")


@pytest.mark.parametrize("words", QUICK_COMMANDS, ids=" ".join)
def test_quick_commands_never_load_torch(words):
    assert not loads_torch(f"from triscale.cli.main import main\nassert main({words!r}) == 0")


@pytest.mark.parametrize("module", sorted(MODULES))
def test_files_and_functions_stay_small(module):
    tree = MODULES[module]
    name = module.removeprefix("triscale").replace(".", "/").lstrip("/")
    file = SOURCE / f"{name}.py" if (SOURCE / f"{name}.py").exists() else SOURCE / name / "__init__.py"
    assert len(file.read_text().splitlines()) <= 400
    assert {f.name: length(f) for f in functions(tree) if length(f) > 60} == {}


def test_functions_are_small_as_a_rule():
    lengths = sorted(length(f) for tree in MODULES.values() for f in functions(tree))
    assert lengths[len(lengths) // 2] <= 12
    assert lengths[len(lengths) * 9 // 10] <= 40


@pytest.mark.parametrize("module", sorted(MODULES))
def test_public_calls_name_their_arguments(module):
    assert [f.name for f in public_functions(MODULES[module]) if f.args.kwarg] == []
