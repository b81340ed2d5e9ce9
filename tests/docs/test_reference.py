"""The reference and the source say the same: nothing is undocumented, and nothing is documented that is not there."""

import ast
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

import msgspec
import pytest

from ratchet import config
from ratchet.automation.actions import ACTIONS
from ratchet.automation.conditions import KPIS
from ratchet.automation.rules import presets
from ratchet.catalogue import EVENT_TYPES
from ratchet.cli import COMMANDS
from ratchet.config import KPI_NAMES
from ratchet.loop.fitness import METRICS, MINIMUM_HOLDOUT_ROWS, SMOKE_ROWS, is_loss
from ratchet.loop.sampling import STRATEGIES
from ratchet.loop.serving import protocol
from ratchet.measure import policies
from ratchet.measure.changes import STAGES
from ratchet.measure.initiators import MODES
from ratchet.measure.kpis.catalogue import KPIS as MEASURED
from ratchet.web import api
from ratchet.web.cloudevents import OPEN_TYPES
from tests.docs import pages

SOURCE = pages.ROOT / "src" / "ratchet"
EVENTS = pages.REFERENCE / "events.md"
# The modules that append events; the others only read them.
APPENDING = [
    SOURCE / "workspace.py",
    SOURCE / "spending.py",
    SOURCE / "measuring.py",
    SOURCE / "reporting.py",
    SOURCE / "measure" / "incidents" / "telling.py",
    *sorted(path for wing in ("store", "loop", "automation", "importers") for path in (SOURCE / wing).rglob("*.py")),
]
# Sent by others to the REST interface; nothing here appends them by itself.
FROM_OUTSIDE = {"custom.emitted"}
SECTIONS: dict[str, type[msgspec.Struct]] = {
    "[project]": config.Project,
    "[limits]": config.LimitSection,
    "[runs]": config.RunsSection,
    "[retention]": config.RetentionSection,
    "[cache]": config.CacheSection,
    "[ledger]": config.LedgerSection,
    "[dataset.NAME]": config.DatasetSection,
    "[dataset.NAME.columns]": config.ColumnSection,
    "[[fitness]]": config.FitnessSection,
    "[monitor.PIPELINE]": config.MonitorSection,
    "[sample.PIPELINE]": config.SampleSection,
    "[[rule]]": config.RuleSection,
    "[import.SYSTEM.NAME]": config.ImportSection,
    "[[team]]": config.TeamSection,
    "[prices]": config.PricesSection,
    "[[prices.item]]": config.PriceSection,
    "[bill]": config.BillSection,
    "[kpi.NAME]": config.KpiSection,
    "[[goal]]": config.GoalSection,
    "[[budget]]": config.BudgetSection,
    "[working_hours]": config.WorkingHoursSection,
    "[incidents]": config.IncidentSection,
    "[baseline]": config.BaselineSection,
    "[ray]": config.RaySection,
}
LABEL = "`label` has two keys"


# ---- events


@cache
def appended() -> frozenset[str]:
    """Return the event types that stand as a value in a module that appends, and not only as a filter or a key."""
    found: set[str] = set()
    for path in APPENDING:
        tree = ast.parse(path.read_text())
        passive = {id(inner) for node in ast.walk(tree) for asked in _asked(node) for inner in ast.walk(asked)}
        found |= {
            node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and id(node) not in passive and node.value in EVENT_TYPES
        }
    return frozenset(found)


def _asked(node: ast.AST) -> list[ast.AST]:
    """Return the parts of a node in which an event type is asked for and not made."""
    match node:
        case ast.Dict(keys=keys):
            return [key for key in keys if key is not None]
        case ast.Compare():
            return [node]
        case ast.keyword(arg="types", value=value):
            return [value]
    return []


def test_what_is_emitted_is_appended_somewhere_and_the_rest_says_what_it_awaits() -> None:
    """A type is appended by the source or awaits something, never both and never neither."""
    awaiting = {kind.name for kind in EVENT_TYPES.values() if kind.awaits}
    assert appended() == set(EVENT_TYPES) - awaiting - FROM_OUTSIDE
    assert FROM_OUTSIDE <= OPEN_TYPES


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_each_event_type_is_described(name: str) -> None:
    """Each type has a heading with its stage, its root or cause, and its data or what will emit it."""
    kind = EVENT_TYPES[name]
    text = pages.section(EVENTS, name)
    assert (f"Stage: {kind.stage}." if kind.stage else "No stage.") in text
    assert ("Root" in text) == kind.is_root
    assert kind.is_root or "Cause: " in text or "Needs a cause." in text
    if kind.awaits:
        assert f"Not yet emitted: comes with {kind.awaits}." in text
    else:
        assert "Not yet emitted" not in text
        assert "- Data: " in text
        assert "- Subject: " in text


@pytest.mark.parametrize("name", [name for name, kind in EVENT_TYPES.items() if not kind.awaits])
def test_each_field_of_an_event_is_in_the_source(name: str) -> None:
    """A data field that is documented is written by a module that appends events."""
    line = next(line for line in pages.section(EVENTS, name).splitlines() if line.startswith("- Data: "))
    fields = re.findall(r"`(\w+)`", re.sub(r"\([^)]*\)", "", line))
    source = "\n".join(path.read_text() for path in [*APPENDING, SOURCE / "web" / "cloudevents.py"])
    unknown = [field for field in fields if not re.search(rf"\"{field}\"|'{field}'|^ +{field}: ", source, re.MULTILINE)]
    assert fields
    assert unknown == []


def test_no_event_type_is_described_that_does_not_exist() -> None:
    """Each heading of the third rank is a type of the catalogue."""
    found = re.findall(r"^### `(.+)`$", EVENTS.read_text(), re.MULTILINE)
    assert sorted(found) == sorted(EVENT_TYPES)


# ---- actions, metrics, rules


def test_each_action_is_described() -> None:
    """Each action has a row with its stage and main parameter, and a heading of its own."""
    page = pages.REFERENCE / "actions.md"
    found = {row[0]: (row[1], row[2].strip("`")) for row in pages.rows(page.read_text())}
    assert found == {name: (action.stage, action.main) for name, action in ACTIONS.items()}
    assert set(ACTIONS) <= set(pages.headings(page))


def test_each_metric_is_described() -> None:
    """Each metric has a row with the function behind it, what it is computed from, and which direction is good."""
    found = {row[0]: row[1:] for row in pages.rows(pages.section(pages.REFERENCE / "fitness.md", "Metrics"))}
    assert found == {
        name: [f"`{function}`", "scores" if wants_scores else "classes", "less" if is_loss(name) else "more"]
        for name, (function, wants_scores) in METRICS.items()
    }


def test_the_numbers_of_the_gate_are_those_of_the_source() -> None:
    """The limits that the page on fitness functions names are in force."""
    text = (pages.REFERENCE / "fitness.md").read_text()
    assert f"at least {MINIMUM_HOLDOUT_ROWS} rows" in text
    assert f"predicts {SMOKE_ROWS} rows" in text


def test_each_preset_is_described() -> None:
    """Each shipped rule has a row with its level."""
    text = pages.section(pages.REFERENCE / "rules.md", "Presets")
    found = {row[0]: row[1] for row in pages.rows(text)}
    assert found == {preset.name: str(preset.level or "") for preset in presets()}


def test_each_number_of_conditions_is_described() -> None:
    """Each KPI that a condition may use has a row."""
    found = {row[0] for row in pages.rows(pages.section(pages.REFERENCE / "rules.md", "Conditions"))}
    assert found == {"event", *(f"kpi.{name}" for name in KPIS)}


# ---- settings


def settings(heading: str) -> str:
    """Return the text of a section of the settings, without the keys of its label."""
    return pages.section(pages.REFERENCE / "settings.md", heading).partition(LABEL)[0]


@pytest.mark.parametrize("heading", SECTIONS)
def test_each_setting_is_described(heading: str) -> None:
    """Each key of a section has a row with its default, and no other key has."""
    found = {row[0]: row[1] for row in pages.rows(settings(heading))}
    assert found == _defaults(SECTIONS[heading])


def test_each_key_of_a_label_is_described() -> None:
    """The keys of a label have rows of their own."""
    text = pages.section(pages.REFERENCE / "settings.md", "[dataset.NAME]").partition(LABEL)[2]
    assert {row[0]: row[1] for row in pages.rows(text)} == _defaults(config.LabelSection)


def test_each_section_of_the_file_has_a_heading() -> None:
    """No section of the settings is left out."""
    found = {re.sub(r"\W*(\w+).*", r"\1", heading) for heading in SECTIONS}
    assert found == set(config.Config.__struct_encode_fields__)


@pytest.mark.parametrize("heading", SECTIONS)
def test_each_example_of_a_setting_is_accepted(heading: str) -> None:
    """The example beside a key is TOML and has a value of the right kind."""
    hints = get_type_hints(SECTIONS[heading], include_extras=True)
    written = {field.encode_name: field.name for field in msgspec.structs.fields(SECTIONS[heading])}
    for name, *_, example in pages.rows(settings(heading)):
        value = tomllib.loads(example.strip("`"))
        assert list(value) == [name]
        msgspec.convert(value[name], hints[written[name]])


def _defaults(section: type[msgspec.Struct]) -> dict[str, str]:
    return {field.encode_name: _shown(field) for field in msgspec.structs.fields(section)}


def _shown(field: Any) -> str:
    if field.default is msgspec.NODEFAULT and field.default_factory is msgspec.NODEFAULT:
        return "required"
    value = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
    if value is None:
        return "none"
    return f"`{msgspec.json.encode(value).decode()}`"


def test_each_strategy_of_sampling_is_described() -> None:
    """The row of the strategy names all there are."""
    text = settings("[sample.PIPELINE]")
    assert all(f"`{name}`" in text for name in STRATEGIES)


# ---- policies


@pytest.mark.parametrize("name", policies.SHIPPED)
def test_each_shipped_policy_is_described(name: str) -> None:
    """Each policy that ships has a heading."""
    assert name in pages.headings(pages.REFERENCE / "policies.md")


def test_each_key_of_a_policy_is_described() -> None:
    """Keys of a policy, of its defaults and of its levels have rows; so have measures with their options."""
    page = pages.REFERENCE / "policies.md"
    for heading, keys in (
        ("Keys of a policy", policies._TOP),
        ("Keys of `defaults`", policies._DEFAULTS),
        ("Keys of a stage", policies._STAGE),
        ("Keys of a level", policies._LEVEL),
    ):
        assert {row[0] for row in pages.rows(pages.section(page, heading))} == set(keys)
    measures = {row[0]: set(re.findall(r"`(\w+)`", row[2])) for row in pages.rows(pages.section(page, "Criteria"))}
    assert measures == {name: set(options) for name, options in policies._OPTIONS.items()}


def test_each_stage_and_each_mode_is_described() -> None:
    """The tables of transitions have a row for each stage and each mode."""
    found = [row[0] for row in pages.rows(pages.section(pages.REFERENCE / "policies.md", "How a transition is judged"))]
    assert found == [*STAGES, *MODES]


def test_the_example_of_a_policy_is_one() -> None:
    """The policy on the page can be read."""
    example = next(text for text in pages.blocks(pages.REFERENCE / "policies.md", "toml") if "[[level]]" in text)
    assert policies.parse(example.encode(), where="policies.md").levels[-1].name == "Closed"


# ---- commands and addresses


def test_the_page_of_commands_is_up_to_date() -> None:
    """The page is what `make docs` writes now."""
    assert (pages.REFERENCE / "cli.md").read_text() == _generated("cli_page"), "run: make docs"


def test_the_page_of_kpis_is_the_generated_one() -> None:
    """What each KPI says stands on its page as it is in the code."""
    assert (pages.REFERENCE / "kpis.md").read_text() == _generated("kpis_page"), "run: make docs"


@pytest.mark.parametrize("name", KPI_NAMES)
def test_each_kpi_has_a_heading(name: str) -> None:
    """Each KPI that ``ratchet.toml`` knows stands on the page, with what it says and how it is worked out."""
    text = pages.section(pages.REFERENCE / "kpis.md", name)
    kpi = MEASURED[name]
    assert all(part in text for part in (kpi.title, kpi.sentence, kpi.formula, *kpi.edge_cases))


def _generated(page: str) -> str:
    """Return a page as `make docs` writes it now."""
    # In a process of its own: a command keeps the help option that its first caller has asked for.
    program = f"import runpy, sys; sys.stdout.write(runpy.run_path({str(pages.DOCS / 'generate.py')!r})[{page!r}]())"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_a_heading(name: str) -> None:
    """Each command stands on the page of commands."""
    assert f"ratchet {name}" in pages.headings(pages.REFERENCE / "cli.md")


def test_each_address_of_the_interface_is_described() -> None:
    """Each route of the REST interface has a row, and no other address has."""
    text = pages.section(pages.REFERENCE / "api.md", "/api/v1")
    routes = {
        f"{method} {_shown_path(route.path)}"
        for route in api.Api(None).routes  # type: ignore[arg-type]  # the table of routes asks nothing of a workspace
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert {row[0] for row in pages.rows(text)} == routes


def _shown_path(path: str) -> str:
    return re.sub(r"{(\w+)[^}]*}", lambda found: found[1].upper(), path)


def test_each_status_is_described() -> None:
    """Each status that the two servers give for an error has a row."""
    page = pages.REFERENCE / "api.md"
    for heading, statuses in (
        ("/api/v1", api.STATUS.values()),
        ("The endpoint: Open Inference Protocol, version 2", protocol.STATUSES.values()),
    ):
        found = {line.split("|")[1].strip() for line in pages.section(page, heading).splitlines() if line[:3] == "| 4"}
        found |= {line.split("|")[1].strip() for line in pages.section(page, heading).splitlines() if line[:3] == "| 5"}
        assert found == {str(status) for status in statuses}


def test_each_type_that_may_come_from_outside_is_named() -> None:
    """The page of the REST interface names all types that are taken from outside."""
    text = pages.section(pages.REFERENCE / "api.md", "POST /api/v1/events")
    families = set(re.findall(r"`(\w+)\.\*`", text))
    named = {name for name in EVENT_TYPES if f"`{name}`" in text or name.partition(".")[0] in families}
    assert named - {"traffic.shifted", "ledger.conflict.detected"} == OPEN_TYPES


@pytest.mark.parametrize("module", ["up.py", "session.py"])
def test_names_of_log_files_are_those_of_the_source(module: str) -> None:
    """The log files that commands write are in the table of logs."""
    found = re.search(r'^LOG_FILE = "(.+)"', (SOURCE / "cli" / module).read_text(), re.MULTILINE)
    assert found is not None
    assert f"`{found[1]}`" in Path(pages.DOCS / "operating.md").read_text()
