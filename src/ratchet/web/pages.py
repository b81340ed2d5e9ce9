"""The pages: what happened, how automated it is, and why; drawn on the server, readable without a script.

Invariant: a page never waits longer than a fraction of a second for a number; one that is still being computed says so
and comes again by itself.
"""

from collections.abc import Callable, Hashable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, urlencode
from zoneinfo import ZoneInfo

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from ratchet import clock, reporting
from ratchet.catalogue import EVENT_TYPES, event_type
from ratchet.errors import CredentialRefused, RatchetError, RequestInvalid, UnknownName
from ratchet.loop import backtests, credentials
from ratchet.loop.feedback import PeriodMetric
from ratchet.measure.kpis.failures import attributed, errors_by_month
from ratchet.measure.kpis.readings import Point, Reading, kpi_named
from ratchet.measure.policies import Policy
from ratchet.records import Event, Record
from ratchet.web import api, auth, distribution, figures, incident_pages, kpi_pages, ledger_pages, report, run_logs
from ratchet.web.background import Answer, Background
from ratchet.web.charts import MISSING
from ratchet.web.evaluation_pages import EvaluationPages
from ratchet.web.figures import Figure
from ratchet.web.measurements import EVIDENCE_TYPES, LevelPoint, Measurements, Overview
from ratchet.web.process_pages import ProcessPages
from ratchet.web.refusals import LinkSpent
from ratchet.web.sentences import sentence

if TYPE_CHECKING:
    from ratchet.workspace import Workspace

PATIENCE_SECONDS = 0.12
LINES_PER_PAGE = 50
LATEST_EVENTS = 20
HISTORY_ROWS = 25
_SIGN_IN = (CredentialRefused, LinkSpent)
_ACTORS = {"engine": "the engine", "rule": "a rule"}
_DAY_HOURS = 24


class EventLine(Record, frozen=True):
    """An event as lists show it."""

    event: Event
    text: str
    who: str


class Pages:
    """The handlers of all pages.

    Args:
        workspace: What is shown.
    """

    def __init__(self, workspace: "Workspace") -> None:
        self._workspace = workspace
        self._measurements = Measurements(workspace)
        self._measuring = Background("measure")
        self._backtesting = Background("backtest")
        self._templates = Environment(loader=PackageLoader("ratchet.web"), autoescape=True, undefined=StrictUndefined)
        self._templates.filters |= {"age": age, "number": number, "part": lambda text: quote(text, safe="")}
        self._templates.globals |= {"query": query, "evidence_types": EVIDENCE_TYPES}
        self._processes = ProcessPages(workspace, ask=self._ask_of_files, draw=self._draw)
        self._evaluations = EvaluationPages(workspace, ask=self._ask_of_files, draw=self._draw)

    @property
    def routes(self) -> list[Route]:
        """Return the addresses of pages."""
        return [
            Route("/", self.overview, methods=["GET"]),
            Route("/events", self.events, methods=["GET"]),
            Route("/events/{id:path}", self.event, methods=["GET"]),
            Route("/pipelines/{name:path}", self.pipeline, methods=["GET"]),
            Route("/incidents", self.incidents, methods=["GET"]),
            Route("/incidents/{name:path}", self.incident, methods=["GET"]),
            Route("/kpis", self.kpis, methods=["GET"]),
            Route("/kpis/{name}", self.kpi, methods=["GET"]),
            Route("/report", self.report, methods=["GET"]),
            *self._processes.routes,
            *self._evaluations.routes,
            Route("/login", self.sign_in_form, methods=["GET"]),
            Route("/login", self.sign_in, methods=["POST"]),
            Route("/logout", self.sign_out, methods=["POST"]),
        ]

    def warm_up(self) -> None:
        """Begin to read the ledger, so that the first page need not, and read the templates."""
        # The report has an environment of its own, with filters that no other page knows.
        for name in self._templates.list_templates(filter_func=lambda name: name != report.TEMPLATE):
            self._templates.get_template(name)
        self._overview(self._workspace.policies()[0], until=0.0)

    def close(self) -> None:
        """Begin to compute nothing more."""
        self._measuring.close()
        self._backtesting.close()

    # ---- signing in

    def sign_in_form(self, request: Request) -> Response:
        """Show the form that takes a token."""
        return self._draw(request, "login.html", problem="")

    async def sign_in(self, request: Request) -> Response:
        """Open a session for whoever shows a token."""
        form = parse_qs((await api.read_body(request)).decode(errors="replace"))
        token = form.get("token", [""])[0].strip()
        await run_in_threadpool(credentials.check, self._workspace.database, token)
        response = RedirectResponse("./", status_code=303)
        auth.set_session(request, response, request.app.state.sessions.open())
        return response

    def sign_out(self, request: Request) -> Response:
        """End the session."""
        request.app.state.sessions.close(auth.session_cookie(request))
        response = RedirectResponse("./login", status_code=303)
        auth.set_session(request, response, "")
        return response

    def _sign_in_by_link(self, request: Request) -> Response:
        secret = request.app.state.sessions.open_by_link(request.query_params["login"])
        # No redirect: a browser that comes from another site would not send a strict cookie along with it.
        response = self._draw(request, "entered.html")
        auth.set_session(request, response, secret)
        return response

    def refuse(self, request: Request, error: RatchetError) -> Response:
        """Show what went wrong, or the sign-in page to whoever is not signed in."""
        template = "login.html" if isinstance(error, _SIGN_IN) else "message.html"
        is_first_visit = isinstance(error, CredentialRefused) and request.method == "GET"
        problem = "" if is_first_visit else str(error)
        return self._draw(request, template, status=api.status_of(error), problem=problem)

    # ---- pages

    def overview(self, request: Request) -> Response:
        """Show all pipelines, and one of them over time."""
        if "login" in request.query_params:
            return self._sign_in_by_link(request)
        policy = self._policy(request)
        until = clock.monotonic() + PATIENCE_SECONDS
        place = int(request.query_params["from"]) if _is_whole(request, "from") else 0
        place = min(place, len(self._names())) // LINES_PER_PAGE * LINES_PER_PAGE
        answer = self._overview(policy, place=place, until=until)
        found = answer.value
        focus = request.query_params.get("pipeline") or next(iter(self._workspace.pipelines()), "")
        focus = focus or (found.lines[0].name if found and found.lines else "")
        levels, quality = self._levels(focus, policy, until=until), self._quality(focus)
        numbers = self._kpis(until=until)
        answers: list[Answer[Any]] = [answer, levels, quality, numbers]
        newest = ledger_pages.events_below(self._workspace, limit=LATEST_EVENTS)
        return self._draw(
            request,
            "overview.html",
            is_waiting=any(_is_waiting(one) for one in answers),
            answer=answer,
            overview=found,
            cards=kpi_pages.cards(numbers.value or ()),
            backlog=self._workspace.runs.backlog(self._workspace.config.limits, is_running=self._workspace.is_running),
            place=place,
            per_page=LINES_PER_PAGE,
            focus=focus,
            policy=policy,
            policies=self._workspace.policies(),
            figures=[*self._figures(levels, quality, focus), *_actions_figure(found)],
            events=self._event_lines(newest.events),
        )

    def events(self, request: Request) -> Response:
        """List events, the newest first."""
        asked = request.query_params
        types = [event_type(name).name for name in asked.getlist("type") if name]
        before = int(asked["before"]) if _is_whole(request, "before") else 0
        page = ledger_pages.events_below(
            self._workspace,
            before=before,
            types=types,
            pipeline=asked.get("pipeline", ""),
            subject=asked.get("subject", ""),
        )
        chosen = {"type": types, "pipeline": asked.get("pipeline", ""), "subject": asked.get("subject", "")}
        return self._draw(
            request,
            "events.html",
            events=self._event_lines(page.events),
            chosen=chosen,
            before=before,
            older=query(**chosen, before=page.older) if page.older else "",
            newest=query(**chosen),
            types=sorted(EVENT_TYPES),
            pipelines=self._names(),
        )

    def event(self, request: Request) -> Response:
        """Show one event: what led to it, and what it led to."""
        identity = request.path_params["id"]
        found = ledger_pages.find(self._workspace, identity, source=request.query_params.get("source", ""))
        if found is None:
            raise UnknownName(kind="event", name=identity, known="those of the list")
        chain = ledger_pages.chain(self._workspace, found)
        caused = self._workspace.ledger.caused_by(found.id)
        limit = ledger_pages.CONSEQUENCES_LIMIT
        return self._draw(
            request,
            "event.html",
            line=self._event_lines([found])[0],
            chain=self._event_lines(chain.links),
            is_whole=chain.is_whole,
            caused=self._event_lines(caused[:limit]),
            more=max(0, len(caused) - limit),
            printed=run_logs.printed(self._workspace, found),
            raw=msgspec.json.format(msgspec.json.encode(found), indent=2).decode(),
        )

    def pipeline(self, request: Request) -> Response:
        """Show one pipeline: why it has its level, its rules, versions and releases."""
        name = request.path_params["name"]
        declared = self._workspace.pipelines()
        policy = self._policy(request)
        until = clock.monotonic() + PATIENCE_SECONDS
        answer = self._one(name, policy, until=until)
        line = answer.value.line(name) if answer.value else None
        if line is None and name not in declared and answer.value is not None:
            raise UnknownName(kind="pipeline", name=name, known=", ".join(self._names()[:20]) or "none yet")
        levels, quality = self._levels(name, policy, until=until), self._quality(name)
        # Imported events set off no rule, so rules of all pipelines are those of pipelines that run here.
        is_here = name in declared or line is None or line.runs_here
        model = str(declared.get(name, {}).get("model", ""))
        live = self._workspace.live(model) if model else None
        return self._draw(
            request,
            "pipeline.html",
            is_waiting=any(_is_waiting(one) for one in (answer, levels, quality)),
            answer=answer,
            name=name,
            declared=declared.get(name, {}),
            line=line,
            live=live.model_version if live else "",
            policy=policy,
            policies=self._workspace.policies(),
            figures=[*self._figures(levels, quality, name), *_actions_figure(answer.value, name)],
            rules=[
                one for one in self._workspace.rules().rules if one.pipeline == name or (not one.pipeline and is_here)
            ],
            versions=self._versions(name),
            releases=self._history(name, ["traffic.shifted", "deployment.failed", "gate.bypassed"]),
        )

    def kpis(self, request: Request) -> Response:
        """List all KPIs."""
        answer = self._kpis(until=clock.monotonic() + PATIENCE_SECONDS)
        lines = kpi_pages.lines(answer.value or ())
        return self._draw(request, "kpis.html", is_waiting=_is_waiting(answer), answer=answer, lines=lines)

    def kpi(self, request: Request) -> Response:
        """Show one KPI: what it says, how it went, how it is worked out and what it rests on."""
        kpi = kpi_named(request.path_params["name"])
        answer = self._measuring.ask(
            ("kpi", kpi.name),
            self._settled(),
            lambda: self._workspace.kpi_over_months(kpi.name) or [self._now(kpi.name)],
            until=clock.monotonic() + PATIENCE_SECONDS,
        )
        policy = self._policy(request)
        beside = self._beside(kpi.name, policy)
        points = answer.value
        details = kpi_pages.details(points[-1].reading) if points else None
        found = [self._workspace.ledger.find(one) for one in reversed(details["events"])] if details else []
        return self._draw(
            request,
            "kpi.html",
            is_waiting=_is_waiting(answer) or _is_waiting(beside),
            answer=answer,
            name=kpi.name,
            title=kpi.title,
            sentence=kpi.sentence,
            details=details,
            beside=beside.value or [],
            policy=policy,
            policies=self._workspace.policies(),
            figures=[kpi_pages.over_time(points)] if points and kpi_pages.has_values(points) else [],
            events=self._event_lines([one for one in found if one is not None]),
        )

    def incidents(self, request: Request) -> Response:
        """List all incidents, the newest first."""
        answer = self._incidents(until=clock.monotonic() + PATIENCE_SECONDS)
        found = answer.value
        place = int(request.query_params.get("from", "0")) if _is_whole(request, "from") else 0
        return self._draw(
            request,
            "incidents.html",
            is_waiting=_is_waiting(answer),
            answer=answer,
            found=found,
            lines=found.incidents[place : place + LINES_PER_PAGE] if found else (),
            place=place,
            per_page=LINES_PER_PAGE,
            counts=incident_pages.counts(found.incidents) if found else [],
            figures=[incident_pages.errors_by_month(found.months)] if found else [],
        )

    def incident(self, request: Request) -> Response:
        """Show one incident: in time, what it came from, and the events behind each sentence."""
        name = request.path_params["name"]
        answer = self._incidents(until=clock.monotonic() + PATIENCE_SECONDS)
        found = answer.value
        one = found.named(name) if found else None
        if found is not None and one is None:
            known = ", ".join(other.incident.name for other in found.incidents[:20])
            raise UnknownName(kind="incident", name=name, known=known or "none yet")
        moments = incident_pages.moments(one, self._workspace.ledger.find) if one else []
        return self._draw(
            request,
            "incident.html",
            is_waiting=_is_waiting(answer),
            answer=answer,
            name=name,
            one=one,
            summary=incident_pages.summary(one) if one else "",
            seen_by=incident_pages.SEEN_BY[one.incident.onset_from] if one else "",
            moments=moments,
            texts=[line.text for line in self._event_lines([line.event for line in moments])],
            drawing=incident_pages.drawing(one, moments, at=found.at) if one and found else "",
            steps=incident_pages.STEPS,
        )

    def report(self, request: Request) -> Response:
        """Show the report as of now; it is published from the command line."""
        policy = self._policy(request)
        answer = self._measuring.ask(
            ("report", policy.name),
            self._settled(),
            lambda: report.draw(reporting.read_report(self._workspace, policy=policy.name), home="./"),
            until=clock.monotonic() + PATIENCE_SECONDS,
        )
        if answer.value is None:
            return self._draw(request, "report_waiting.html", is_waiting=_is_waiting(answer), answer=answer)
        return HTMLResponse(answer.value, headers={"X-Own-Style": report.style_digest()})

    def _incidents(self, *, until: float) -> Answer[incident_pages.Found]:
        return self._measuring.ask("incidents", self._settled(), self._find_incidents, until=until)

    def _find_incidents(self) -> incident_pages.Found:
        question = self._workspace.ask()
        return incident_pages.Found(
            incidents=tuple(reversed(attributed(question))),
            months=tuple(errors_by_month(question)),
            at=question.as_of,
        )

    # ---- what pages are made of

    def _kpis(self, *, until: float) -> Answer[list[Reading]]:
        return self._measuring.ask("kpis", self._settled(), self._workspace.kpis, until=until)

    def _beside(self, kpi: str, policy: Policy) -> Answer[list[Figure]]:
        """Return pipelines by level beside errors made by people, on the pages of both."""
        if kpi not in distribution.SHOWN_WITH:
            return Answer(value=[], is_current=True)
        return self._measuring.ask(
            ("distribution", policy.name),
            (self._settled(), policy.digest),
            lambda: self._draw_distribution(policy),
            until=clock.monotonic() + PATIENCE_SECONDS,
        )

    def _draw_distribution(self, policy: Policy) -> list[Figure]:
        found = self._measurements.measuring.distributions(policy, months=distribution.MONTHS)
        return distribution.figures(distribution.months(found, errors_by_month(self._workspace.ask())), policy)

    def _now(self, name: str) -> Point:
        """Return a KPI as it stands in a ledger without a month."""
        return Point(month=f"{clock.now():%Y-%m}", reading=self._workspace.kpi(name))

    def _settled(self) -> tuple[Any, ...]:
        """Return what KPIs depend on: what the measure does, and the settings."""
        return (*self._moment(), id(self._workspace.config))

    def _ask_of_files(self, name: Hashable, files: Hashable, compute: Callable[[], Any]) -> Answer[Any]:
        """Return what depends on files of the project beside the ledger."""
        until = clock.monotonic() + PATIENCE_SECONDS
        return self._measuring.ask(name, (self._settled(), files), compute, until=until)

    def _overview(self, policy: Policy, *, place: int = 0, until: float) -> Answer[Overview]:
        return self._measuring.ask(
            ("overview", policy.name, place),
            (self._moment(), policy.digest),
            lambda: self._measurements.overview(policy, start=place, limit=LINES_PER_PAGE),
            until=until,
        )

    def _one(self, pipeline: str, policy: Policy, *, until: float) -> Answer[Overview]:
        return self._measuring.ask(
            ("pipeline", pipeline, policy.name),
            (self._moment(), policy.digest),
            lambda: self._measurements.one(pipeline, policy),
            until=until,
        )

    def _levels(self, pipeline: str, policy: Policy, *, until: float) -> Answer[dict[str, list[LevelPoint]]]:
        known = self._workspace.policies()
        chosen = [policy, *(one for one in known if one.name != policy.name)][:2]
        return self._measuring.ask(
            ("levels", pipeline, policy.name),
            (self._moment(), tuple(one.digest for one in chosen)),
            lambda: {one.name: self._measurements.levels_over_time(pipeline, one) for one in chosen},
            until=until,
        )

    def _quality(self, pipeline: str) -> Answer[list[tuple[PeriodMetric, float | None]]]:
        """Return the live metric beside that of the first version, for pipelines that serve here."""
        endpoint = str(self._workspace.pipelines().get(pipeline, {}).get("model", ""))
        if not endpoint:
            return Answer(value=[], is_current=True)
        return self._backtesting.ask(
            endpoint,
            self._answered(pipeline, endpoint),
            lambda: backtests.compare(self._workspace.resources, endpoint),
            until=0.0,
        )

    def _answered(self, pipeline: str, endpoint: str) -> tuple[int, str]:
        """Return what the metrics of an endpoint depend on: sealed days, joined outcomes, the first version."""
        types = ["prediction_log.segment.sealed", "feedback.joined"]
        newest = ledger_pages.events_below(self._workspace, types=types, pipeline=pipeline, limit=1).events
        place = newest[0].seq if newest else 0
        return place, backtests.first_version(self._workspace.resources, endpoint)

    def _moment(self) -> tuple[int, str]:
        """Return what the measure depends on: the place in the ledger, and the minute, as ages grow."""
        return self._workspace.ledger.last_seq(), f"{clock.now():%Y-%m-%dT%H:%M}"

    def _figures(
        self,
        levels: Answer[dict[str, list[LevelPoint]]],
        quality: Answer[list[tuple[PeriodMetric, float | None]]],
        pipeline: str,
    ) -> list[Figure]:
        found = [figures.levels(levels.value, pipeline, self._workspace.policies())] if levels.value else []
        if not pipeline:
            return found
        return [*found, figures.quality(quality.value, pipeline, problem=quality.problem)]

    def _versions(self, pipeline: str) -> list[dict[str, Any]]:
        """Return the verdicts of the gate on the latest versions, with the metrics that it saw."""
        gates = ledger_pages.events_below(
            self._workspace, types=["gate.evaluated"], pipeline=pipeline, limit=HISTORY_ROWS
        )
        suites = ledger_pages.events_below(
            self._workspace, types=["fitness.suite.finished"], pipeline=pipeline, limit=4 * HISTORY_ROWS
        )
        quality = {event.subject: event for event in suites.events if event.data.get("kind") == "quality"}
        return [_verdict(line, quality.get(line.event.subject)) for line in self._event_lines(gates.events)]

    def _history(self, pipeline: str, types: list[str]) -> list[EventLine]:
        page = ledger_pages.events_below(self._workspace, types=types, pipeline=pipeline, limit=HISTORY_ROWS)
        return self._event_lines(page.events)

    def _event_lines(self, events: Sequence[Event]) -> list[EventLine]:
        names = {event.authid: self._who(event) for event in events}
        return [
            EventLine(event=one, text=sentence(one, who=names[one.authid]), who=names[one.authid]) for one in events
        ]

    def _who(self, event: Event) -> str:
        if event.authtype == "system":
            return _ACTORS.get(event.authid, event.authid)
        return credentials.account_of(self._workspace.database, event.authid) if event.authid else "somebody"

    def _names(self) -> list[str]:
        """Return the pipelines' names as far as the ledger was read; pages do not wait for the rest."""
        return sorted({*self._workspace.pipelines(), *self._measurements.known_pipelines()})

    def _policy(self, request: Request) -> Policy:
        return self._workspace.policy(request.query_params.get("policy") or self._workspace.policies()[0].name)

    # ---- drawing

    def _draw(self, request: Request, template: str, *, status: int = 200, **values: Any) -> Response:
        zone = ZoneInfo(self._workspace.config.project.time_zone)
        context = {
            "root": root_of(request),
            "project": self._workspace.config.project.name,
            "moment": lambda at: moment(at, zone),
            "is_waiting": False,
            **values,
        }
        return HTMLResponse(self._templates.get_template(template).render(context), status_code=status)


def root_of(request: Request) -> str:
    """Return the relative address of the overview, which keeps pages whole behind any sub-path."""
    raw: bytes = request.scope.get("raw_path") or quote(request.scope["path"]).encode()
    root = str(request.scope.get("app_root_path", request.scope.get("root_path", ""))).rstrip("/")
    depth = raw.removeprefix(root.encode()).count(b"/") - 1
    return "../" * depth or "./"


def moment(at: datetime, zone: ZoneInfo) -> str:
    """Return a moment as people of the project read it."""
    return f"{at.astimezone(zone):%Y-%m-%d %H:%M}"


def age(days: float | None) -> str:
    """Return an age in words; ``unknown`` where there is none."""
    if days is None:
        return "unknown"
    if days < 2:  # noqa: PLR2004, days say too little then
        return f"{days * _DAY_HOURS:.0f} h"
    return f"{days:.0f} d"


def number(value: float | None) -> str:
    """Return a number with thousands set apart; a dash where there is none."""
    return MISSING if value is None else f"{value:,.0f}".replace(",", "\u202f")


def query(**values: Any) -> str:
    """Return a query string of the values that say something, with its question mark."""
    given = {name: value for name, value in values.items() if value}
    return f"?{urlencode(given, doseq=True)}" if given else ""


def _is_whole(request: Request, name: str) -> bool:
    """Tell whether a parameter was given.

    Raises:
        RequestInvalid: It was, and is no whole number.
    """
    text = request.query_params.get(name, "")
    if text and not (text.isascii() and text.isdecimal() and len(text) < 19):  # noqa: PLR2004, digits of 64 bits
        remedy = "Send a whole number."
        raise RequestInvalid(endpoint="events", field=f"the parameter '{name}'", problem="is wrong", remedy=remedy)
    return bool(text)


def _verdict(line: EventLine, quality: Event | None) -> dict[str, Any]:
    """Return a gate's verdict as the page writes it; payloads from elsewhere may lack anything."""
    metrics = (quality.data.get("metrics") if quality else None) or {}
    shown = [f"{name} {value:.4f}" for name, value in metrics.items() if isinstance(value, int | float)]
    return {
        "line": line,
        "version": str(line.event.data.get("version") or line.event.subject),
        "is_passed": line.event.data.get("decision") == "pass",
        "reason": str(line.event.data.get("reason") or ""),
        "metrics": ", ".join(shown),
    }


def _is_waiting(answer: Answer[Any]) -> bool:
    return answer.value is None and not answer.problem


def _actions_figure(found: Overview | None, pipeline: str = "") -> list[Figure]:
    if found is None:
        return []
    line = found.line(pipeline)
    return [figures.human_actions(line.human_actions if line else found.human_actions, pipeline=pipeline)]
