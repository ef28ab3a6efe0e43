"""The shape of the code: who may import whom, what only one module may touch, and that importing does nothing."""

import ast
import asyncio
import inspect
import json
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

#: Top to bottom: folders, and the modules beside them. Each imports from itself and from lower rows only.
LAYERS = [
    {"__main__"},
    {"cli"},
    {"function_app"},
    {"server"},
    {"app", "sdk"},
    {"configuration"},
    {"adapters", "pipeline"},
    {"routing"},
    {"upstream"},
    {"sharing"},
    {"auth", "limits", "storage"},
    {"config", "telemetry"},
    {"protocol"},
    {"errors", "exceptions", "settings"},
    {"descriptors", "quoting", "variables"},
    {"__init__"},
]

#: What is not ours, and where alone it may be imported.
OUTSIDE = {
    "httpx": {"adapters.entra_keys"},
    "jwt": {"adapters.entra_keys", "auth.entra"},
    "httptools": {"upstream.connections"},
    "aiohttp": {
        "server.http_connections",
        "server.http_requests",
        "server.http_server",
        "server.incoming",
        "server.incoming_body",
        "server.server_protocol",
    },
    # Not where `from gateway import completion` leads: that import is to stay light.
    "msgspec": {
        "adapters",
        "auth",
        "config",
        "configuration",
        "limits",
        "pipeline",
        "protocol",
        "routing",
        "server",
        "sharing",
        "storage",
        "telemetry",
        "upstream",
    },
    "azure": {"adapters", "function_app"},
    "azurefunctions": {"server.functions"},
    "starlette": {"cli.serve", "server"},
    "uvicorn": {"server.functions"},
    "uvloop": {"server.http_process"},
    "yaml": {"config"},
    "function_app": {"cli.serve"},
}

#: Protocol and arithmetic: time and chance are arguments there, and nothing is waited for.
PURE = {
    "auth",
    "config",
    "errors",
    "exceptions",
    "limits",
    "protocol",
    "routing.models",
    "sdk.arguments",
    "sdk.audio",
    "sdk.bodies",
    "sdk.failures",
    "sdk.results",
    "server.routes",
    "storage.clock",
    "telemetry.record",
    "upstream.adaptation",
    "upstream.coding",
    "upstream.credentials",
    "upstream.outgoing",
    "upstream.redaction",
    "upstream.refusals",
    "upstream.request_head",
    "upstream.telling",
    "upstream.verdicts",
}
#: In pure folders, but where something is waited for.
WAITING = {"config.reload", "config.sources", "config.renewal"}
IMPURE = {
    "asyncio",
    "random",
    "secrets",
    "select",
    "signal",
    "socket",
    "subprocess",
    "threading",
    "time",
    "uuid",
}
CLOCKS = {"now", "utcnow", "today", "time", "monotonic", "perf_counter", "time_ns", "get_running_loop"}


class Sources(Mapping):
    """The gateway's modules by name, each parsed when it is first looked at: most processes only collect this file."""

    def __init__(self):
        found = (path.relative_to(ROOT) for path in sorted((ROOT / "gateway").rglob("*.py")))
        self._paths = {
            ".".join(path.with_suffix("").parts[1:]).removesuffix(".__init__"): ROOT / path for path in found
        }
        self._paths["function_app"] = ROOT / "function_app.py"
        self._trees = {}

    def __getitem__(self, name):
        if name not in self._trees:
            self._trees[name] = ast.parse(self._paths[name].read_text())
        return self._trees[name]

    def __contains__(self, name):
        return name in self._paths

    def __iter__(self):
        return iter(self._paths)

    def __len__(self):
        return len(self._paths)


SOURCES = Sources()


@cache
def nodes(tree):
    """All of a tree, walked once."""
    return list(ast.walk(tree))


def imports(tree, *, at_once=False):
    """The dotted names of all that a module imports, or of what it imports when it is imported itself."""
    for node in tree.body if at_once else nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            if (
                node.module == "gateway"
                or f"{node.module}.{node.names[0].name}".removeprefix("gateway.") in SOURCES
            ):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
            else:
                yield node.module


def ours(tree, *, at_once=False):
    """The gateway's modules among the imports; "__init__" for the package itself."""
    for name in imports(tree, at_once=at_once):
        if name.split(".")[0] == "gateway":
            rest = name.removeprefix("gateway.")
            yield rest if rest in SOURCES else "__init__"


def within(name, places):
    """Whether a module is one of `places`, or in a folder that is."""
    parts = name.split(".")
    return bool({".".join(parts[:depth]) for depth in range(1, len(parts) + 1)} & places)


def layer(name):
    found = [place for place, names in enumerate(LAYERS) if within(name, names)]
    assert len(found) == 1, f"{name} needs one place in LAYERS"
    return found[0]


def test_imports_lead_downwards_only():
    for name in SOURCES.keys() - {"__init__"}:
        for imported in ours(SOURCES[name]):
            if imported.split(".")[0] != name.split(".")[0] or "." not in name:
                assert layer(name) < layer(imported), f"{name} imports {imported}"


def test_the_package_itself_imports_nothing_until_it_is_asked():
    # Type checkers read the names of the Python API there.
    assert [] == list(ours(SOURCES["__init__"], at_once=True))
    assert {"exceptions", "sdk.functions", "sdk.router"} == set(ours(SOURCES["__init__"])) - {"__init__"}


def test_no_import_leads_in_a_circle():
    graph = {name: set(ours(tree, at_once=True)) - {"__init__"} for name, tree in SOURCES.items()}
    while leaves := {name for name, imported in graph.items() if not imported & graph.keys()}:
        graph = {name: imported for name, imported in graph.items() if name not in leaves}
    assert {} == graph


def test_every_place_in_the_layers_is_taken():
    assert set() == {
        place for names in LAYERS for place in names if not any(within(name, {place}) for name in SOURCES)
    }


def test_each_library_has_its_place():
    for name, tree in SOURCES.items():
        for imported in imports(tree):
            library = imported.split(".")[0]
            if library not in sys.stdlib_module_names | {"gateway"}:
                assert within(name, OUTSIDE[library]), f"{name} imports {imported}"


def test_only_the_composition_root_and_the_command_line_load_configurations():
    loaders = {name for name, tree in SOURCES.items() if "config.load" in ours(tree)}
    assert {"app", "configuration", "cli.check", "cli.config", "cli.import_litellm", "sdk.core"} == loaders


def test_the_core_knows_nothing_of_a_configurations_document():
    for name, tree in SOURCES.items():
        if not within(
            name, {"__main__", "app", "cli", "config", "configuration", "sdk.arguments", "sdk.core"}
        ):
            known = {imported for imported in ours(tree) if imported.startswith("config")}
            assert known <= {
                "config.access",
                "config.deployment",
                "config.patterns",
                "config.wildcards",
                "config.reload",
                "config.vault",
            }, name


def test_pure_modules_read_no_clock_and_draw_no_numbers():
    pure = [name for name in SOURCES if within(name, PURE) and name not in WAITING]
    assert pure
    for name in pure:
        tree = SOURCES[name]
        assert set() == {imported.split(".")[0] for imported in imports(tree)} & IMPURE, name
        calls = [node.func for node in nodes(tree) if isinstance(node, ast.Call)]
        assert set() == {call.attr for call in calls if isinstance(call, ast.Attribute)} & CLOCKS, name


#: What asyncio's functions hand on to the loop's methods, options included.
HANDED_ON = {"open_connection": "create_connection", "start_server": "create_server"}


def loop_classes(tree):
    """What a module asks or reads of classes that each loop has its own of, or of a loop's inside."""
    for node in nodes(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"isinstance", "issubclass"}:
            names = [ast.unparse(part) for part in ast.walk(node.args[1])]
            yield from (name for name in names if name.endswith(("Transport", "Loop", "Server", "Handle")))
        elif isinstance(node, ast.Attribute):
            inside = node.attr.startswith("_")
            if inside and ast.unparse(node.value).endswith(("loop", "loop()", "transport")):
                yield ast.unparse(node)


def loop_options(tree, loops):
    """The methods, and the options of methods, that a module uses of a loop and that not all of `loops` have."""
    for node in nodes(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            name = HANDED_ON.get(node.func.attr, node.func.attr)
            if name == node.func.attr and not ast.unparse(node.func.value).endswith(("loop", "loop()")):
                continue
            methods = [getattr(loop, name, None) for loop in loops]
            if None in methods:
                yield name
                continue
            offered = set.intersection(*(set(inspect.signature(method).parameters) for method in methods))
            # A stream reader's own.
            offered |= {"limit"} - {node.func.attr}
            yield from {keyword.arg for keyword in node.keywords} - offered - {None}


def both_loops():
    uvloop = pytest.importorskip("uvloop")
    return asyncio.SelectorEventLoop, uvloop.Loop


def test_no_module_depends_on_a_loops_classes_or_options():
    loops = both_loops()
    for name, tree in SOURCES.items():
        assert [] == [*loop_classes(tree), *loop_options(tree, loops)], name


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("isinstance(x, asyncio.Transport)", ["asyncio.Transport"]),
        ("isinstance(x, (int, asyncio.SelectorEventLoop))", ["asyncio.SelectorEventLoop"]),
        ("self._loop._selector", ["self._loop._selector"]),
        ("asyncio.get_running_loop()._ready", ["asyncio.get_running_loop()._ready"]),
        ("await loop.create_connection(f, happy_eyeballs_delay=1)", ["happy_eyeballs_delay"]),
        ("await asyncio.open_connection(h, p, interleave=1)", ["interleave"]),
        ("await self.loop.create_server(f, keep_alive=True)", ["keep_alive"]),
        ("self.loop.print_debug_info()", ["print_debug_info"]),
        ("loop.call_later(1, f); isinstance(x, dict); pool.create(keep_alive=1)", []),
        ("await asyncio.open_connection(h, p, limit=1, ssl=x); self.transport.abort()", []),
    ],
)
def test_dependence_on_a_loop_is_found(source, found):
    tree = ast.parse(source)
    assert found == [*loop_classes(tree), *loop_options(tree, both_loops())]


def test_the_environment_is_read_in_one_place():
    words = {"os.environ", "os.getenv", "os.environb", "os.putenv"}
    ends = {word.removeprefix("os.") for word in words}
    readers = {
        name
        for name, tree in SOURCES.items()
        if words
        & {ast.unparse(node) for node in nodes(tree) if isinstance(node, ast.Attribute) and node.attr in ends}
        or words & set(imports(tree))
    }
    assert {"settings", "__main__"} == readers


def test_the_simulator_and_the_gateway_do_not_know_each_other():
    assert not any(name.split(".")[0] == "simulator" for tree in SOURCES.values() for name in imports(tree))
    for path in (ROOT / "simulator").rglob("*.py"):
        assert not any(name.split(".")[0] == "gateway" for name in imports(ast.parse(path.read_text()))), path


def fresh(source, *arguments):
    """What a fresh process prints, as JSON."""
    command = [sys.executable, "-B", "-c", source, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=120, text=True, check=False)
    assert (0, "") == (done.returncode, done.stderr)
    return json.loads(done.stdout)


FORBIDDEN = (
    "jwt",
    "cryptography",
    "fastapi",
    "openai",
    "litellm",
    "azure.monitor",
    "azure.identity",
    "azure.data",
    "httpx",
    "simulator",
)

LOADED = """
import json, sys
import function_app
at_start = sorted(sys.modules)
from gateway import app, settings
document = {"model_list": [{"model_name": "gpt", "litellm_params": {
    "model": "azure/x", "api_base": "https://x.openai.azure.com", "api_key": "k"}}]}
environ = {"GATEWAY_CONFIG": json.dumps(document), "GATEWAY_ALLOW_ANONYMOUS": "1"}
app.Process(settings.read(environ)).start()
print(json.dumps([at_start, sorted(sys.modules)]))
"""


@pytest.mark.system
def test_neither_importing_nor_configuring_loads_what_is_not_needed():
    for modules in fresh(LOADED):
        assert "gateway.server.handlers" in modules
        assert [] == [name for name in modules if name.startswith(FORBIDDEN)]


# All is imported twice: the first time brings in what is not ours, so that the second shows what our modules do.
WATCHED = """
import importlib, json, logging, os, signal, sys, threading
names = sys.argv[1:]
for name in names:
    importlib.import_module(name)
for name in [name for name in sys.modules if name in names or name == "gateway"]:
    del sys.modules[name]
seen, watching = [], True

def watch(event, arguments):
    if not watching:
        return
    if event == "open":
        path, mode, flags = arguments
        if str(path).endswith((".py", ".pyc")) and not flags & (os.O_WRONLY | os.O_RDWR):
            return
        seen.append([event, str(path)])
    elif event.startswith(("socket.", "subprocess.", "os.putenv", "os.unsetenv", "os.fork", "os.exec", "os.system",
                           "_thread.start", "signal.", "os.remove", "os.mkdir", "shutil.", "tempfile.", "urllib.")):
        seen.append([event, ""])

def state():
    return [dict(os.environ), threading.active_count(), len(logging.getLogger().handlers),
            str(signal.getsignal(signal.SIGINT)), str(signal.getsignal(signal.SIGTERM)), sys.path]

before = state()
sys.addaudithook(watch)
for name in names:
    importlib.import_module(name)
watching = False
print(json.dumps([seen, before == state()]))
"""


@pytest.mark.system
def test_importing_does_nothing():
    names = [
        name if name == "function_app" else f"gateway.{name}".removesuffix(".__init__") for name in SOURCES
    ]
    assert [[], True] == fresh(WATCHED, *names)
