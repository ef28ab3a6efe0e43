"""Each assertion of each check is seen to fail: faults are put into copies of infra/, and their checks must notice."""

from __future__ import annotations

import ast
import functools
import shutil
import traceback
from pathlib import Path

import checks
import pytest
from checks import CHECKS
from compiler import INFRA, PARAMETERS
from mutations import MUTATIONS
from world import World

#: The texts of infra/, before any fault.
SOURCES = {path.relative_to(INFRA).as_posix(): path.read_text() for path in sorted(INFRA.rglob("*.bicep*"))}
#: Each assertion of a check: the name of the check, its first line and its last.
ASSERTIONS = [
    (function.name, node.lineno, node.end_lineno or 0)
    for function in ast.parse(Path(checks.__file__).read_text()).body
    if isinstance(function, ast.FunctionDef) and function.name in {check.__name__ for check in CHECKS}
    for node in ast.walk(function)
    if isinstance(node, ast.Assert)
]


def packed(mutations):
    """Batches of faults that share a copy of infra/: one parameter file, and no two for one check or one text.

    Compiling takes most of the time of these tests.
    """
    batches = []
    for mutation in mutations:
        for batch, checked, texts in batches:
            fits = mutation.check not in checked and batch[0].parameters == mutation.parameters
            if fits and mutation.old in texts[mutation.file] and not (mutation.alone or batch[0].alone):
                break
        else:
            batch, checked, texts = [], set(), dict(SOURCES)
            batches.append((batch, checked, texts))
            assert mutation.old in texts[mutation.file], f"the template has changed: put {mutation} in anew"
        batch.append(mutation)
        checked.add(mutation.check)
        texts[mutation.file] = texts[mutation.file].replace(mutation.old, mutation.new)
    return [(batch, texts) for batch, _, texts in batches]


@pytest.fixture(scope="session")
def failing(compiler, tmp_path_factory):
    """The assertion of its check that fails for a fault; None where none does."""
    worlds = {}
    for batch, texts in packed(MUTATIONS):
        deployed = functools.cache(
            functools.partial(deploy, compiler, tmp_path_factory, batch[0].parameters, texts)
        )
        worlds |= dict.fromkeys(batch, deployed)

    @functools.cache
    def find(mutation):
        try:
            getattr(checks, mutation.check)(worlds[mutation]())
        except AssertionError as error:
            frames = traceback.extract_tb(error.__traceback__)
            line = next(frame.lineno or 0 for frame in frames if frame.name == mutation.check)
            return next(found for found in ASSERTIONS if found[1] <= line <= found[2])
        return None

    return find


def deploy(compiler, tmp_path_factory, name, texts):
    """What a copy of infra/ with these texts leads to."""
    folder = tmp_path_factory.mktemp("mutated")
    # Without bicepconfig.json, whose rules are errors: a fault may also be bad style.
    for file, text in texts.items():
        (folder / "infra" / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / "infra" / file).write_text(text)
    parameters = folder / "tests/infra/parameters" / f"{name}.bicepparam"
    parameters.parent.mkdir(parents=True)
    shutil.copy(PARAMETERS / parameters.name, parameters)
    template = functools.cache(lambda: compiler.template(folder / "infra/main.bicep"))
    return World(name, compiler.snapshot(parameters), template)


@pytest.mark.parametrize(
    "mutation", MUTATIONS, ids=lambda mutation: f"{mutation.check}-{mutation.old[:30].strip()!r}"
)
def test_a_fault_is_noticed(failing, mutation):
    assert None is not failing(mutation)


def test_every_assertion_has_been_seen_to_fail(failing):
    assert [] == sorted(set(ASSERTIONS) - {failing(mutation) for mutation in MUTATIONS})
