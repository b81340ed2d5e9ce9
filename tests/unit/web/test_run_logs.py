"""What a run printed, on the pages of its events."""

import re

from msgspec.structs import replace

from ratchet.loop import registry
from ratchet.loop import run_logs as logs
from ratchet.records import Event
from ratchet.web import run_logs
from tests.unit.loop.test_run_logs import RUN
from tests.unit.web.conftest import Site


def finished(site: Site, text: str, *, name: str) -> Event:
    """Let a run have ended that printed something."""
    run = replace(RUN, id=name.ljust(26, "0"), pipeline="flight-delay")
    logs.append(site.workspace.resources, run.id, text)
    kept = logs.keep(site.workspace.resources, logs.path_of(site.workspace.resources, run.id))
    with site.workspace.by_command("start_run", {}, subject=run.id):
        event = site.workspace.ledger.record(Event(type="run.finished", subject=run.id, pipeline="flight-delay"))[0]
    with site.workspace.database.write() as transaction:
        registry.put_run(transaction, replace(run, log=kept))
    return event


def test_the_page_of_a_run_shows_what_it_printed(site: Site) -> None:
    """As text, whatever it looks like."""
    event = finished(site, "loss <b>0.3</b>\n", name="SHORT")
    page = site.browser().get(f"/events/{event.id}").text
    assert "What the run printed" in page
    assert "loss &lt;b&gt;0.3&lt;/b&gt;" in page


def test_of_a_long_log_a_page_shows_the_end(site: Site) -> None:
    """And says how to see the rest."""
    event = finished(site, "".join(f"epoch {number}\n" for number in range(1, 1001)), name="LONG")
    found = run_logs.printed(site.workspace, event)
    assert found is not None
    lines = found.text.splitlines()
    assert (len(lines), lines[0], lines[-1]) == (run_logs.LINES, "epoch 801", "epoch 1000")
    assert found.notes == ("The last 200 of 1,000 lines; all that there are: ratchet runs log LONG0000",)


def test_a_quiet_run_says_so(site: Site) -> None:
    """Rather than show an empty frame."""
    found = run_logs.printed(site.workspace, finished(site, "", name="QUIET"))
    assert found == run_logs.Printed(text="", notes=("It printed nothing.",))


def test_other_events_have_no_log(site: Site) -> None:
    """Nor has a run that was imported, or that nobody here has a row of."""
    event = finished(site, "x\n", name="OTHER")
    assert run_logs.printed(site.workspace, replace(event, type="gate.evaluated")) is None
    assert run_logs.printed(site.workspace, replace(event, source="airflow")) is None
    assert run_logs.printed(site.workspace, replace(event, subject="nobody")) is None
    page = site.browser().get(f"/events/{site.workspace.ledger.last_seq() - 100}").text
    assert not re.search("What the run printed", page)
